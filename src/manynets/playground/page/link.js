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

const TRIES = 8, SECONDS = 1.5;

export class Link {
  /**
   * @param {(frame: Frame) => void} onframe @param {(message: any) => void} onmessage
   * @param {{open: () => void, lost: (again: boolean) => void}} on lost: called when the connection is lost; again: whether another try follows
   */
  constructor(onframe, onmessage, on) {
    this.onframe = onframe;
    this.onmessage = onmessage;
    this.on = on;
    this.tries = 0;
  }

  connect() {
    const socket = new WebSocket(`ws://${location.host}/live`);
    this.socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { this.tries = 0; this.on.open(); };
    socket.onmessage = (event) => {
      if (typeof event.data === "string") this.onmessage(JSON.parse(event.data));
      else this.onframe(unpack(event.data));
    };
    socket.onclose = (event) => {
      this.tries += 1;
      const again = this.tries < TRIES && event.code !== 1013; // 1013: too many pages
      this.on.lost(again);
      if (again) setTimeout(() => this.connect(), 1000 * SECONDS);
    };
  }

  /** @param {string} type @param {Record<string, any>} [fields] */
  send(type, fields = {}) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ type, ...fields }));
  }
}
