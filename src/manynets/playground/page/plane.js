// @ts-check
/** The output over the plane, the points on it, and drawing points. */
import { colour, isDark, level, output, paint, PALETTE, signed, theme } from "/colours.js";
import { el, fill, fitted, short } from "/dom.js";

const MARGIN = { left: 38, right: 10, top: 8, bottom: 26 };

export class Plane {
  /** @param {HTMLElement} owner @param {(x: number, y: number) => void} ondraw */
  constructor(owner, ondraw) {
    this.ondraw = ondraw;
    this.map = document.createElement("canvas");
    this.canvas = el("canvas", { role: "img", tabindex: "0", "aria-label": "Output over the plane" });
    this.legend = el("div", { class: "legend" });
    this.errors = el("input", { type: "checkbox", id: "errors", onchange: () => this.draw() });
    this.frame = el("div", { class: "plane" }, this.canvas);
    fill(owner, this.frame, this.legend);
    /** @type {any} */ this.data = null;
    /** @type {any} */ this.last = null;
    /** @type {{layer: number, unit: number}|null} */ this.unit = null;
    this.drawing = false;
    this.cursor = [0, 0];
    this.showsCursor = false;
    this.canvas.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.pointer(event, true));
    this.canvas.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.pointer(event, false));
    this.canvas.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.key(event));
    new ResizeObserver(() => this.draw()).observe(this.frame);
  }

  /** @param {any} data the message that comes once */
  setData(data) {
    this.data = data;
    this.last = null;
    this.unit = null;
    const { header } = data;
    const axes = header.axes.join(" and ");
    this.canvas.setAttribute("aria-label", `Output over ${axes}, with ${header.rows} training points`);
    this.writeLegend();
    this.draw();
  }

  writeLegend() {
    const { header } = this.data;
    const parts = header.classes.length
      ? header.classes.slice(0, 10).map((/** @type {string} */ name, /** @type {number} */ code) => {
        const mark = el("i");
        mark.style.background = colour(code);
        return el("span", {}, mark, name);
      })
      : [el("span", {}, short(header.least)), this.ramp(), el("span", {}, short(header.most))];
    const label = el("label", { for: "errors" }, this.errors, header.classes.length ? "Mark errors" : "Show residuals");
    fill(this.legend, ...parts, label);
  }

  ramp() {
    const ramp = el("canvas", { class: "ramp", width: "60", height: "1", role: "img", "aria-label": "colours from low to high" });
    const strip = document.createElement("canvas");
    paint(60, (i) => { const t = ((i % 60) / 59) * 2 - 1; return level(t > 0 ? 1 : 0, Math.abs(t)); }, strip);
    ramp.getContext("2d").drawImage(strip, 0, 0, 60, 1, 0, 0, 60, 1);
    return ramp;
  }

  /** @param {any} frame */
  setFrame(frame) { this.last = frame; this.draw(); }

  /** @param {number} width @param {number} height */
  scales(width, height) {
    const [left, right, bottom, top] = this.data.header.extent;
    const w = width - MARGIN.left - MARGIN.right, h = height - MARGIN.top - MARGIN.bottom;
    return {
      x: (/** @type {number} */ value) => MARGIN.left + ((value - left) / (right - left)) * w,
      y: (/** @type {number} */ value) => MARGIN.top + ((top - value) / (top - bottom)) * h,
      back: (/** @type {number} */ px, /** @type {number} */ py) => [left + ((px - MARGIN.left) / w) * (right - left), top - ((py - MARGIN.top) / h) * (top - bottom)],
      w, h,
    };
  }

  paintMap() {
    const { header } = this.data, { arrays } = this.last, side = header.resolution;
    if (this.unit) {
      const values = arrays[`hidden${this.unit.layer}`], small = header.coarse;
      if (values && values.length >= (this.unit.unit + 1) * small * small) return paint(small, signed(values, this.unit.unit * small * small, small * small), this.map);
    }
    return paint(side, output(arrays.class || arrays.output, arrays.confidence, header), this.map);
  }

  draw() {
    if (!this.data) return;
    const width = this.frame.clientWidth;
    this.canvas.style.height = `${width}px`;
    const [context, w, h] = fitted(this.canvas);
    const at = this.scales(w, h);
    if (this.last) {
      this.paintMap();
      context.imageSmoothingEnabled = true;
      context.imageSmoothingQuality = "high";
      context.save();
      context.beginPath();
      context.roundRect(MARGIN.left, MARGIN.top, at.w, at.h, 6);
      context.clip();
      context.drawImage(this.map, MARGIN.left, MARGIN.top, at.w, at.h);
      context.restore();
    }
    this.axes(context, at, w, h);
    this.points(context, at);
    if (this.drawing && this.showsCursor) {
      const [x, y] = [at.x(this.cursor[0]), at.y(this.cursor[1])];
      context.strokeStyle = theme("ink");
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x - 9, y); context.lineTo(x + 9, y); context.moveTo(x, y - 9); context.lineTo(x, y + 9);
      context.stroke();
    }
  }

  /** @param {CanvasRenderingContext2D} context @param {any} at @param {number} width @param {number} height */
  axes(context, at, width, height) {
    const [left, right, bottom, top] = this.data.header.extent;
    context.fillStyle = theme("soft");
    context.font = "11px system-ui, sans-serif";
    for (const [low, high, isX] of /** @type {[number, number, boolean][]} */ ([[left, right, true], [bottom, top, false]])) {
      for (const value of ticks(low, high)) {
        const text = tickText(value);
        if (isX) { context.textAlign = "center"; context.fillText(text, at.x(value), height - 12); }
        else { context.textAlign = "right"; context.fillText(text, MARGIN.left - 5, at.y(value) + 4); }
      }
    }
    const [first, second] = this.data.header.axes;
    context.textAlign = "right";
    context.fillText(cut(first), width - MARGIN.right, height - 1);
    context.save();
    context.translate(9, MARGIN.top);
    context.rotate(-Math.PI / 2);
    context.fillText(cut(second), 0, 0);
    context.restore();
  }

  /** @param {CanvasRenderingContext2D} context @param {any} at */
  points(context, at) {
    const { arrays, header } = this.data;
    const count = arrays.target.length, radius = count > 1200 ? 2 : count > 500 ? 2.6 : 3.4;
    const predicted = this.last && this.errors.checked ? this.last.arrays.predicted : null;
    const edge = "#ffffff";
    for (let i = 0; i < count; i++) {
      const x = at.x(arrays.points[2 * i]), y = at.y(arrays.points[2 * i + 1]);
      if (!Number.isFinite(x + y)) continue;
      const held = arrays.held[i] > 0;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      const fillColour = header.classes.length ? colour(arrays.target[i]) : this.shade(arrays.target[i]);
      context.lineWidth = held ? 1.6 : 1;
      context.fillStyle = held ? edge : fillColour;
      context.strokeStyle = held ? fillColour : edge;
      context.fill();
      context.stroke();
      if (!predicted) continue;
      const off = header.classes.length ? (predicted[i] !== arrays.target[i] ? 1 : 0) : Math.min(1, Math.abs(predicted[i] - arrays.target[i]) / (header.most - header.least || 1) * 2);
      if (off < 0.05) continue;
      context.beginPath();
      context.arc(x, y, radius + (header.classes.length ? 3 : 1 + 7 * off), 0, 2 * Math.PI);
      context.strokeStyle = theme("ink");
      context.lineWidth = 1.6;
      context.stroke();
    }
  }

  /** @param {number} value */
  shade(value) {
    const { least, most } = this.data.header;
    const t = most > least ? ((value - least) / (most - least)) * 2 - 1 : 0;
    const own = PALETTE[t > 0 ? 1 : 0], base = isDark() ? 60 : 235, share = Math.min(1, Math.abs(t));
    return `rgb(${own.map((part) => Math.round(base + (part - base) * (0.15 + 0.85 * share))).join(" ")})`;
  }

  /** @param {boolean} on */
  setDrawing(on) { this.drawing = on; this.canvas.classList.toggle("drawing", on); this.draw(); }

  /** @param {PointerEvent} event @param {boolean} pressed */
  pointer(event, pressed) {
    if (!this.drawing || !this.data || !(event.buttons & 1)) return;
    if (pressed) { this.canvas.setPointerCapture(event.pointerId); this.moved = 0; }
    const now = performance.now();
    if (!pressed && now - (this.moved || 0) < 45) return;
    this.moved = now;
    const box = this.canvas.getBoundingClientRect();
    const at = this.scales(box.width, box.height);
    const [x, y] = at.back(event.clientX - box.left, event.clientY - box.top);
    const jitter = pressed ? 0 : 0.02;
    this.add(x + (Math.random() - 0.5) * jitter, y + (Math.random() - 0.5) * jitter);
  }

  /** @param {number} x @param {number} y */
  add(x, y) {
    const [left, right, bottom, top] = this.data.header.extent;
    if (x >= left && x <= right && y >= bottom && y <= top) this.ondraw(x, y);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.drawing || !this.data) return;
    const [left, right, bottom, top] = this.data.header.extent;
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (step) {
      this.cursor = [this.cursor[0] + step[0] * (right - left) / 40, this.cursor[1] + step[1] * (top - bottom) / 40];
      this.showsCursor = true;
      this.draw();
    } else if (event.key === "Enter" || event.key === " ") this.add(this.cursor[0], this.cursor[1]);
    else return;
    event.preventDefault();
  }
}

/** @param {string} text */
const cut = (text) => (text.length > 26 ? `${text.slice(0, 25)}…` : text);

/** @param {number} low @param {number} high @returns {number[]} */
export function ticks(low, high, about = 5) {
  const raw = (high - low) / about;
  if (!(raw > 0) || !Number.isFinite(raw)) return [];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = /** @type {number} */ ([1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw)) * power;
  const out = [];
  for (let value = Math.ceil(low / step) * step; value <= high + step * 1e-9; value += step) out.push(Math.abs(value) < step * 1e-6 ? 0 : value);
  return out;
}

/** A tick as text: all its digits, and a power of ten where they are many. @param {number} value @returns {string} */
export function tickText(value) {
  const plain = +value.toPrecision(6), size = Math.abs(plain);
  return size !== 0 && (size < 1e-3 || size >= 1e5) ? plain.toExponential().replace("e+", "e") : String(plain);
}
