// @ts-check
/** Many networks as a wall of small maps: one canvas for all of them, and a button over each map. */
import { output, paintMany, theme } from "/colours.js";
import { el, fill, fitted, short } from "/dom.js";

/** Milliseconds between two orders of the networks while they are trained. */
const SORT_EVERY = 1000;
const BORDER = 2;

export class Wall {
  /** @param {HTMLElement} owner @param {(network: number) => void} onopen */
  constructor(owner, onopen) {
    this.owner = owner;
    this.onopen = onopen;
    this.canvas = el("canvas", { "aria-hidden": "true" });
    this.tiles = el("div", { class: "tiles", role: "group", "aria-label": "Networks, sorted by loss" });
    /** @type {number[]} the network of each button */ this.order = [];
    /** @type {{x: number, y: number, width: number}[]} */ this.boxes = [];
    this.maps = document.createElement("canvas");
    this.sorted = 0;
    /** @type {any} */ this.data = null;
    /** @type {any} */ this.frame = null;
    fill(owner, this.canvas, this.tiles);
    this.tiles.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => { this.measure(); this.draw(); }).observe(this.tiles);
  }

  clear() {
    this.frame = null;
    this.order = [];
    fill(this.tiles);
  }

  /** @param {any} data @param {any} frame */
  show(data, frame) {
    const losses = frame.arrays.wall_loss;
    if (!losses) return;
    this.data = data;
    this.frame = frame;
    if (this.order.length !== losses.length) {
      this.order = [...losses.keys()];
      fill(this.tiles, ...this.order.map((at) => el("button", { onclick: () => this.onopen(this.order[at]) })));
      this.sorted = 0;
      this.measure();
    }
    const now = performance.now(), due = frame.header.state !== "running" || now - this.sorted > SORT_EVERY;
    if (due && !(this.sorted && this.tiles.contains(document.activeElement))) this.sort(losses, now);
    this.order.forEach((network, at) => this.tiles.children[at].classList.toggle("chosen", network === frame.header.network));
    this.draw();
  }

  /** @param {Float32Array} losses @param {number} now */
  sort(losses, now) {
    this.order.sort((a, b) => losses[a] - losses[b]);
    this.sorted = now;
    this.order.forEach((network, at) => this.tiles.children[at].setAttribute("aria-label", `Open network ${network + 1}, loss ${short(losses[network])}`));
  }

  /** Remember where the buttons are, so that no frame asks for the layout. */
  measure() {
    this.boxes = [...this.tiles.children].map((button) => ({ x: button.offsetLeft, y: button.offsetTop, width: button.offsetWidth }));
  }

  /** Draw the maps that can be seen. */
  draw() {
    if (!this.frame || !this.boxes.length) return;
    const [context, , height] = fitted(this.canvas), { header } = this.data, { arrays } = this.frame;
    const top = this.tiles.scrollTop, size = arrays.wall.length / this.order.length, side = Math.sqrt(size), reach = 1.25 * this.boxes[0].width;
    const seen = [...this.order.keys()].filter((at) => this.boxes[at].y + reach > top && this.boxes[at].y < top + height);
    paintMany(side, seen.map((at) => output(arrays.wall, arrays.wall_confidence, header, this.order[at] * size)), this.maps);
    context.fillStyle = theme("ink");
    context.font = "11px system-ui, sans-serif";
    seen.forEach((at, i) => {
      const { x, y, width } = this.boxes[at];
      context.drawImage(this.maps, 0, i * side, side, side, x + BORDER, y - top + BORDER, width - 2 * BORDER, width - 2 * BORDER);
      context.fillText(short(arrays.wall_loss[this.order[at]]), x + 5, y - top + 1.25 * width - 5);
    });
  }
}
