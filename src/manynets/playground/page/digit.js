// @ts-check
/** A pad to draw a digit on, what the network takes it for, and how its layers respond. */
import { drawBars } from "/charts.js";
import { el, fill } from "/dom.js";

const SIDE = 196;

export class DigitPad {
  /** @param {(pixels: number[]) => void} onprobe */
  constructor(onprobe) {
    this.onprobe = onprobe;
    /** @type {number[]} */ this.shape = [8, 8];
    /** @type {string[]} */ this.names = [];
    this.pad = el("canvas", { class: "pad", width: SIDE, height: SIDE, tabindex: "0", role: "img", "aria-label": "Draw a digit here; or choose an example below" });
    this.shares = el("div", { class: "shares", role: "group", "aria-label": "Shares of the classes" });
    this.layers = el("div", { class: "fields" });
    this.answer = el("p", { "aria-live": "polite" }, "Draw a digit.");
    this.examples = el("div", { class: "terms", role: "group", "aria-label": "Examples" });
    this.element = el("div", { class: "fields" }, this.pad, el("button", { onclick: () => this.clear() }, "Clear the pad"), this.examples, this.answer, this.shares, this.layers);
    this.context = this.pad.getContext("2d", { willReadFrequently: true });
    this.clear();
    let drawing = false;
    this.pad.addEventListener("pointerdown", (/** @type {PointerEvent} */ e) => { drawing = true; this.pad.setPointerCapture(e.pointerId); this.last = null; this.stroke(e); });
    this.pad.addEventListener("pointermove", (/** @type {PointerEvent} */ e) => { if (drawing) this.stroke(e); });
    this.pad.addEventListener("pointerup", () => { drawing = false; });
    /** @type {any} */ this.last = null;
    this.filled = false;
    this.asked = 0;
  }

  clear() {
    this.context.fillStyle = "#000";
    this.context.fillRect(0, 0, SIDE, SIDE);
    this.filled = false;
    fill(this.shares);
    fill(this.layers);
    this.answer.textContent = "Draw a digit.";
  }

  /** @param {PointerEvent} event */
  stroke(event) {
    const box = this.pad.getBoundingClientRect();
    const at = [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
    const from = this.last || at;
    Object.assign(this.context, { strokeStyle: "#fff", lineWidth: SIDE / 10, lineCap: "round", lineJoin: "round" });
    this.context.beginPath();
    this.context.moveTo(from[0], from[1]);
    this.context.lineTo(at[0] + 0.1, at[1]);
    this.context.stroke();
    this.last = at;
    this.filled = true;
    this.ask();
  }

  /** Ask the server for the outputs of every layer. */
  ask() {
    const now = performance.now();
    if (!this.filled || now - this.asked < 60) return;
    this.asked = now;
    this.onprobe(this.pixels());
  }

  /** Return the drawing in the size of the images, centred as they are. */
  pixels() {
    const [rows, columns] = this.shape;
    const image = this.context.getImageData(0, 0, SIDE, SIDE).data;
    let left = SIDE, right = 0, top = SIDE, bottom = 0;
    for (let y = 0; y < SIDE; y++) for (let x = 0; x < SIDE; x++) if (image[4 * (y * SIDE + x)] > 40) { left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y); }
    const size = Math.max(right - left, bottom - top, 20), share = rows > 16 ? 20 / 28 : 0.94;
    const small = document.createElement("canvas");
    small.width = columns * 4; small.height = rows * 4;
    const context = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d"));
    context.fillRect(0, 0, small.width, small.height);
    const scale = (share * small.height) / size;
    context.imageSmoothingQuality = "high";
    context.drawImage(this.pad, small.width / 2 - ((left + right) / 2) * scale, small.height / 2 - ((top + bottom) / 2) * scale, SIDE * scale, SIDE * scale);
    const data = context.getImageData(0, 0, small.width, small.height).data;
    const out = [];
    for (let y = 0; y < rows; y++) for (let x = 0; x < columns; x++) {
      let sum = 0;
      for (let dy = 0; dy < 4; dy++) for (let dx = 0; dx < 4; dx++) sum += data[4 * ((y * 4 + dy) * small.width + x * 4 + dx)];
      out.push(+(sum / 16 / 255).toFixed(3));
    }
    return out;
  }

  /** @param {any} data the message that comes once */
  setData(data) {
    if (!data.header.image_shape) return;
    this.shape = data.header.image_shape;
    this.names = data.header.classes;
    const images = data.arrays.images, [rows, columns] = this.shape, size = rows * columns;
    const buttons = [...Array(Math.min(8, images.length / size)).keys()].map((i) => el("button", {
      "aria-label": `Example ${i + 1}`, onclick: () => this.example(images.slice(i * size, (i + 1) * size)),
    }, String(i + 1)));
    fill(this.examples, el("span", { class: "hint" }, "Examples"), ...buttons);
  }

  /** @param {Float32Array} image */
  example(image) {
    const [rows, columns] = this.shape, small = document.createElement("canvas");
    small.width = columns; small.height = rows;
    const context = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d")), made = context.createImageData(columns, rows);
    image.forEach((value, i) => { made.data.set([value * 255, value * 255, value * 255, 255], 4 * i); });
    context.putImageData(made, 0, 0);
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(small, 0, 0, SIDE, SIDE);
    this.filled = true;
    this.asked = 0;
    this.onprobe(Array.from(image, (value) => +Math.min(1, Math.max(0, value)).toFixed(3)));
  }

  /** @param {any} frame the answer */
  show(frame) {
    const { header, arrays } = frame;
    this.answer.textContent = `The network sees: ${this.names[header.prediction]}`;
    const rows = [];
    for (let i = 0; i < arrays.shares.length; i++) {
      const share = arrays.shares[i];
      rows.push(el("span", {}, this.names[i]), el("meter", { min: 0, max: 1, value: share, "aria-label": `Share of ${this.names[i]}` }), el("span", {}, `${(100 * share).toFixed(0)}%`));
    }
    fill(this.shares, ...rows);
    const names = Object.keys(arrays).filter((name) => name.startsWith("layer"));
    if (this.layers.childElementCount !== names.length) {
      fill(this.layers, ...names.map((_, i) => el("div", {}, el("span", { class: "hint" }, `Activations of hidden layer ${i + 1}`), el("canvas", { class: "strip", role: "img", "aria-label": `Activations of hidden layer ${i + 1}` }))));
    }
    names.forEach((name, i) => drawBars(this.layers.children[i].lastChild, arrays[name]));
  }
}
