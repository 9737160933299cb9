// @ts-check
/** The WebSocket: messages as JSON, frames as a JSON header and float32 arrays. */

/** @typedef {{header: any, arrays: Record<string, Float32Array>, shapes: Record<string, number[]>}} Frame */

/**
 * Read a binary message: uint32 length, header, arrays.
 * @param {ArrayBuffer} buffer @returns {Frame}
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  /** @type {Record<string, Float32Array>} */ const arrays = {};
  /** @type {Record<string, number[]>} */ const shapes = {};
  let at = 4 + length;
  for (const [name, shape] of header.arrays) {
    const count = shape.reduce((/** @type {number} */ a, /** @type {number} */ b) => a * b, 1);
    arrays[name] = new Float32Array(buffer, at, count);
    shapes[name] = shape;
    at += 4 * count;
  }
  return { header, arrays, shapes };
}

export class Link {
  /** @param {(frame: Frame) => void} onframe @param {(message: any) => void} onmessage @param {() => void} onclose */
  constructor(onframe, onmessage, onclose) {
    this.socket = new WebSocket(`ws://${location.host}/live`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onmessage = (event) => {
      if (typeof event.data === "string") onmessage(JSON.parse(event.data));
      else onframe(unpack(event.data));
    };
    this.socket.onclose = onclose;
    /** @type {Promise<void>} */
    this.open = new Promise((done) => { this.socket.onopen = () => done(); });
  }

  /** @param {string} type @param {Record<string, any>} [fields] */
  send(type, fields = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }
}
