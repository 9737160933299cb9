// @ts-check
/** The network: a small map of every unit, weights as edges, and buttons to change the layers. */
import { colour, output, paint, signed } from "/colours.js";
import { el, fill, fitted } from "/dom.js";

/** Milliseconds after a change of the layout, in which units may come under a mouse that nobody moves. */
const SETTLED = 600;

export class Diagram {
  /**
   * @param {HTMLElement} owner @param {HTMLElement} bar
   * @param {{layers: (hidden: number[]) => void, unit: (at: {layer: number, unit: number}|null) => void}} on
   */
  constructor(owner, bar, on) {
    this.owner = owner;
    this.bar = bar;
    this.on = on;
    /** @type {any} */ this.data = null;
    /** @type {any} */ this.last = null;
    /** @type {number[]} */ this.hidden = [];
    /** @type {HTMLElement[][]} */ this.nodes = [];
    /** @type {{layer: number, unit: number}|null} */ this.pinned = null;
    /** @type {number[][]} */ this.dead = [];
    this.built = 0;
    this.edges = el("canvas", { "aria-hidden": "true" });
    new ResizeObserver(() => this.drawEdges()).observe(owner);
    owner.addEventListener("scroll", () => this.drawEdges());
  }

  /** @param {any} data @param {number[]} hidden */
  setData(data, hidden) {
    this.data = data;
    this.last = null;
    this.dead = [];
    this.pinned = null;
    this.hidden = [...hidden];
    this.build();
  }

  build() {
    const { header } = this.data;
    this.built = performance.now();
    fill(this.bar,
      el("button", { "aria-label": "Remove the last hidden layer", onclick: () => this.on.layers(this.hidden.slice(0, -1)), disabled: this.hidden.length === 0 }, "−"),
      el("span", {}, `${this.hidden.length} hidden ${this.hidden.length === 1 ? "layer" : "layers"}`),
      el("button", { "aria-label": "Add a hidden layer", onclick: () => this.on.layers([...this.hidden, this.hidden.at(-1) ?? 4]), disabled: this.hidden.length >= 8 }, "+"));
    this.nodes = [];
    const columns = [this.inputs(header)];
    this.hidden.forEach((units, layer) => columns.push(this.layer(units, layer)));
    columns.push(this.output(header));
    fill(this.owner, this.edges, ...columns);
    this.drawEdges();
  }

  /** @param {any} header */
  inputs(header) {
    const names = header.inputs_named, side = header.coarse;
    const nodes = names.map((/** @type {string} */ name, /** @type {number} */ i) => {
      const node = el("div", { class: "unit", role: "img", "aria-label": `Input ${name}`, title: name }, el("canvas"), el("span", {}, name.length > 8 ? `${name.slice(0, 7)}…` : name));
      paint(side, signed(this.data.arrays.inputs, i * side * side, side * side), node.firstChild);
      return node;
    });
    this.nodes.push(nodes);
    const rest = header.in_features - names.length;
    return el("div", { class: "column" }, el("h3", {}, "Inputs"), el("div", { class: "units" }), ...nodes, rest > 0 ? el("span", { class: "rest" }, `and ${rest} more`) : null);
  }

  /** @param {number} units @param {number} layer */
  layer(units, layer) {
    const change = (/** @type {number} */ by) => () => {
      const hidden = [...this.hidden];
      hidden[layer] = Math.max(1, Math.min(1024, units + by));
      this.on.layers(hidden);
    };
    const step = units >= 64 ? 32 : units > 16 ? 8 : 1;
    const nodes = [...Array(Math.min(units, 16)).keys()].map((unit) => {
      const at = { layer, unit };
      return el("button", {
        class: "unit", "aria-label": `Unit ${unit + 1} of hidden layer ${layer + 1}: show its map`, "aria-pressed": "false",
        onclick: () => this.pin(at), onmouseenter: () => { if (performance.now() - this.built > SETTLED) this.on.unit(at); }, onmouseleave: () => this.on.unit(this.pinned),
      }, el("canvas"));
    });
    this.nodes.push(nodes);
    return el("div", { class: "column" }, el("h3", {}, `${units} ${units === 1 ? "unit" : "units"}`),
      el("div", { class: "units" },
        el("button", { "aria-label": `Fewer units in hidden layer ${layer + 1}`, onclick: change(-step), disabled: units <= 1 }, "−"),
        el("button", { "aria-label": `More units in hidden layer ${layer + 1}`, onclick: change(step), disabled: units >= 1024 }, "+")),
      ...nodes, units > 16 ? el("span", { class: "rest" }, `and ${units - 16} more`) : null);
  }

  /** @param {any} header */
  output(header) {
    const node = el("div", { class: "unit", role: "img", "aria-label": "Output", title: "Output" }, el("canvas"));
    this.nodes.push([node]);
    const many = header.outputs > 1 ? `${header.outputs} outputs` : "Output";
    return el("div", { class: "column last" }, el("h3", {}, many), el("div", { class: "units" }), node);
  }

  /** @param {{layer: number, unit: number}} at */
  pin(at) {
    const again = this.pinned && this.pinned.layer === at.layer && this.pinned.unit === at.unit;
    this.pinned = again ? null : at;
    this.nodes.slice(1, -1).forEach((nodes, layer) => nodes.forEach((node, unit) => {
      const chosen = this.pinned !== null && this.pinned.layer === layer && this.pinned.unit === unit;
      node.classList.toggle("chosen", chosen);
      node.setAttribute("aria-pressed", String(chosen));
    }));
    this.on.unit(this.pinned);
  }

  /** @param {any} frame */
  setFrame(frame) {
    this.last = frame;
    const { header } = this.data, side = header.coarse, count = side * side;
    if (frame.header.hidden.join() !== this.hidden.join()) { // another of several networks, which differ in their units
      this.hidden = [...frame.header.hidden];
      this.build();
    }
    this.hidden.forEach((_, layer) => {
      const values = frame.arrays[`hidden${layer}`];
      this.nodes[layer + 1].forEach((node, unit) => {
        if (values && values.length >= (unit + 1) * count) paint(side, signed(values, unit * count, count), /** @type {any} */ (node.firstChild));
      });
    });
    if (frame.header.dead) this.dead = frame.header.dead;
    this.hidden.forEach((_, layer) => this.nodes[layer + 1].forEach((node, unit) => {
      const isDead = (this.dead[layer] || []).includes(unit);
      node.classList.toggle("dead", isDead);
      node.title = isDead ? "dead: the same output for every row" : "";
    }));
    const { arrays } = frame;
    paint(header.resolution, output(arrays.class || arrays.output, arrays.confidence, header), /** @type {any} */ (this.nodes.at(-1)?.[0].firstChild));
    this.drawEdges();
  }

  drawEdges() {
    const width = this.owner.scrollWidth, height = this.owner.clientHeight;
    this.edges.style.width = `${width}px`;
    this.edges.style.height = `${height}px`;
    const [context] = fitted(this.edges);
    if (!this.last) return;
    const origin = this.owner.getBoundingClientRect(), moved = this.owner.scrollLeft;
    const boxes = this.nodes.map((nodes) => nodes.map((node) => node.getBoundingClientRect()));
    for (let layer = 0; layer + 1 < boxes.length; layer++) {
      const weights = this.last.arrays[`weight${layer}`], shape = this.last.shapes[`weight${layer}`];
      if (!weights) continue;
      let reach = 0;
      for (const value of weights) reach = Math.max(reach, Math.abs(value));
      const [rows, columns] = shape;
      const merged = layer + 2 === boxes.length; // all outputs are drawn as one
      for (let i = 0; i < (merged ? 1 : Math.min(rows, boxes[layer + 1].length)); i++) {
        for (let j = 0; j < Math.min(columns, boxes[layer].length); j++) {
          let value = weights[i * columns + j];
          if (merged && rows > 1) { value = 0; for (let k = 0; k < rows; k++) if (Math.abs(weights[k * columns + j]) > Math.abs(value)) value = weights[k * columns + j]; }
          const share = reach ? Math.abs(value) / reach : 0;
          if (share < 0.02) continue;
          const from = boxes[layer][j], to = boxes[layer + 1][i];
          const x1 = from.right - origin.left + moved, y1 = (from.top + from.bottom) / 2 - origin.top;
          const x2 = to.left - origin.left + moved, y2 = (to.top + to.bottom) / 2 - origin.top, middle = (x1 + x2) / 2;
          context.beginPath();
          context.moveTo(x1, y1);
          context.bezierCurveTo(middle, y1, middle, y2, x2, y2);
          context.lineWidth = 0.4 + 4 * share;
          context.strokeStyle = colour(value > 0 ? 1 : 0, 0.18 + 0.62 * share);
          context.stroke();
        }
      }
    }
  }
}
