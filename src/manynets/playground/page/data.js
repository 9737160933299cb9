// @ts-check
/** The data panel: toys, drawn points, a table, or images. */
import { colour } from "/colours.js";
import { el, fill, say } from "/dom.js";
import { DigitPad } from "/digit.js";
import { preview } from "/toys.js";

const SOURCES = [["toy", "Toys"], ["drawn", "Draw"], ["table", "Table"], ["images", "Digits"]];
const TERM_NAMES = { "x1": "x₁", "x2": "x₂", "x1^2": "x₁²", "x2^2": "x₂²", "x1*x2": "x₁x₂", "x1^3": "x₁³", "x2^3": "x₂³", "sin(x1)": "sin x₁", "sin(x2)": "sin x₂" };

export class DataPanel {
  /** @param {HTMLElement} owner @param {any} store @param {any} about @param {{drawing: (on: boolean) => void, schema: (file: string, target: string) => void, probe: (pixels: number[]) => void}} on */
  constructor(owner, store, about, on) {
    this.owner = owner;
    this.store = store;
    this.about = about;
    this.on = on;
    this.code = 0;
    this.value = 1;
    /** @type {any} */ this.table = null;
    /** @type {any[]} */ this.notes = [];
    this.pad = new DigitPad(on.probe);
    this.shown = "";
    /** @type {any} */ this.waiting = null; // a table whose target is not chosen yet
  }

  get kind() { return this.waiting ? "table" : this.store.setup.data.kind; }

  render() {
    const { data } = this.store.setup;
    this.on.drawing(this.kind === "drawn");
    const focused = /** @type {any} */ (document.activeElement)?.dataset?.key;
    const bar = el("div", { class: "sources", role: "group", "aria-label": "Kind of data" }, ...SOURCES.map(([kind, text]) =>
      el("button", { class: kind === this.kind ? "chosen" : "", "aria-pressed": String(kind === this.kind), "data-key": `source-${kind}`, onclick: () => this.choose(kind) }, text)));
    const parts = { toy: () => this.toys(data), drawn: () => this.drawn(data), table: () => this.tables(data), images: () => this.images(data) };
    const notes = this.notes.length ? el("ul", { class: "notes", "aria-label": "Notes on the data" }, ...this.notes.slice(0, 8).map((note) => el("li", {}, note))) : null;
    fill(this.owner, bar, ...parts[/** @type {"toy"} */ (this.kind)](), this.terms(), this.validation(), notes);
    if (focused) /** @type {any} */ (this.owner.querySelector(`[data-key="${focused}"]`))?.focus();
  }

  /** @param {string} kind */
  choose(kind) {
    this.waiting = null;
    if (kind === "toy") this.store.update((/** @type {any} */ s) => { s.data = { kind, name: "spirals", points: 500, noise: 0, seed: 0 }; });
    else if (kind === "drawn") this.store.update((/** @type {any} */ s) => { s.data = { kind, task: "classes", rows: START }; s.terms = ["x1", "x2"]; });
    else if (kind === "images") this.store.update((/** @type {any} */ s) => {
      s.data = { kind, name: this.about.images[0], rows: 5000 };
      s.terms = ["x1", "x2"];
      s.networks = { count: 1, vary: "seed" };
    });
    else if (this.table) this.useTable(this.table, "");
    else { this.waiting = { kind: "table" }; this.render(); }
  }

  /** @param {any} data */
  toys(data) {
    const change = (/** @type {any} */ fields) => this.store.update((/** @type {any} */ s) => { s.data = { ...s.data, ...fields }; });
    const buttons = this.about.toys.map((/** @type {string} */ name) => {
      const canvas = el("canvas", { width: "58", height: "58", "aria-hidden": "true" });
      preview(name, canvas);
      return el("button", { class: name === data.name ? "chosen" : "", "aria-pressed": String(name === data.name), "data-key": `toy-${name}`, onclick: () => change({ name }) }, canvas, name);
    });
    return [el("div", { class: "toys", role: "group", "aria-label": "Toy data sets" }, ...buttons),
      el("div", { class: "fields" },
        this.range("Points", data.points, 20, 2000, 10, (points) => change({ points })),
        this.range("Noise", data.noise, 0, 1, 0.05, (noise) => change({ noise })),
        el("button", { onclick: () => change({ seed: (data.seed + 1) % 1000 }), "data-key": "again" }, `Draw again (seed ${data.seed})`))];
  }

  /** @param {string} name @param {number} value @param {number} min @param {number} max @param {number} step @param {(value: number) => void} set */
  range(name, value, min, max, step, set) {
    const out = el("span", {}, String(value)), id = `range-${name.replaceAll(" ", "-")}`;
    return el("label", { for: id }, el("span", { class: "row" }, name, out), el("input", {
      id, type: "range", min, max, step, value, "data-key": `range-${name}`, oninput: (/** @type {any} */ e) => { out.textContent = e.target.value; },
      onchange: (/** @type {any} */ e) => set(Number(e.target.value)),
    }));
  }

  /** @param {any} data */
  drawn(data) {
    const regression = data.task === "regression";
    const counts = new Map();
    for (const row of data.rows) counts.set(row[2], (counts.get(row[2]) || 0) + 1);
    const task = el("select", { id: "drawn-task", "data-key": "drawn-task", onchange: (/** @type {any} */ e) => this.store.update((/** @type {any} */ s) => { s.data = { kind: "drawn", task: e.target.value, rows: START }; }) },
      el("option", { value: "classes" }, "Classes"), el("option", { value: "regression" }, "Numbers"));
    task.value = data.task;
    const swatches = [...Array(6).keys()].map((code) => {
      const button = el("button", { class: code === this.code ? "chosen" : "", "aria-label": `Draw class ${code}`, "aria-pressed": String(code === this.code), "data-key": `swatch-${code}`, onclick: () => { this.code = code; this.render(); } });
      button.style.background = colour(code);
      return button;
    });
    const value = this.range("Value to draw", this.value, -1, 1, 0.1, (found) => { this.value = found; });
    return [el("p", { class: "hint" }, "Click or drag on the output to add points; with the keyboard, move there with the arrow keys and press Enter."),
      el("div", { class: "fields" }, el("label", { for: "drawn-task" }, "Target", task), regression ? value : el("div", { class: "swatches", role: "group", "aria-label": "Class to draw" }, ...swatches),
        el("p", { class: "hint" }, `${data.rows.length} points`),
        el("div", { class: "swatches" },
          el("button", { class: "text", "data-key": "undo", onclick: () => this.store.update((/** @type {any} */ s) => { s.data.rows = s.data.rows.slice(0, -5); }), disabled: data.rows.length < 12 }, "Undo"),
          el("button", { class: "text", "data-key": "clear", onclick: () => this.store.update((/** @type {any} */ s) => { s.data.rows = START; }) }, "Clear")))];
  }

  /** @param {number} x @param {number} y */
  add(x, y) {
    const { data } = this.store.setup;
    if (data.kind !== "drawn") return;
    if (data.rows.length >= 2000) return say("There are 2,000 points already.", true);
    const value = data.task === "regression" ? this.value : this.code;
    this.store.update((/** @type {any} */ s) => { s.data = { ...s.data, rows: [...s.data.rows, [+x.toFixed(4), +y.toFixed(4), value]] }; });
  }

  /** @param {any} data */
  tables(data) {
    const file = el("input", { type: "file", accept: ".csv,.tsv,.txt,.parquet", class: "hidden", id: "file", onchange: (/** @type {any} */ e) => { if (e.target.files[0]) this.upload(e.target.files[0]); } });
    const pick = el("label", { class: "pick", for: "file" }, file, el("strong", {}, "Choose a file"), el("br"), el("span", { class: "hint" }, "or drop a CSV or Parquet file on the page"));
    if (!this.table) return [pick];
    const { about } = this.table, chosen = this.waiting ? { target: "", x: "", y: "", view: "slice", columns: [] } : data;
    const select = (/** @type {string} */ id, /** @type {string} */ text, /** @type {string[]} */ names, /** @type {string} */ value, /** @type {(v: string) => void} */ set, /** @type {string} */ none) => {
      const made = el("select", { id, "data-key": id, onchange: (/** @type {any} */ e) => set(e.target.value) }, el("option", { value: "" }, none), ...names.map((name) => el("option", { value: name }, name)));
      made.value = value;
      return el("label", { for: id }, text, made);
    };
    const change = (/** @type {any} */ fields) => this.store.update((/** @type {any} */ s) => { s.data = { ...s.data, ...fields }; });
    const numeric = about.schema.columns.filter((/** @type {any} */ c) => c.kind === "numeric").map((/** @type {any} */ c) => c.name);
    const view = el("select", { id: "table-view", "data-key": "table-view", onchange: (/** @type {any} */ e) => change({ view: e.target.value }) }, el("option", { value: "slice" }, "A slice along two columns"), el("option", { value: "pca" }, "Two principal components"));
    view.value = chosen.view;
    return [pick, el("div", { class: "fields" },
      el("p", {}, el("strong", {}, about.name), el("span", { class: "hint" }, ` ${about.rows.toLocaleString("en")} rows`)),
      select("table-target", "Target", about.columns, chosen.target, (target) => this.useTable(this.table, target), "choose a column"),
      chosen.target ? el("label", { for: "table-view" }, "Plane", view) : null,
      chosen.target && chosen.view === "slice" ? select("table-x", "Horizontal axis", numeric.filter((/** @type {string} */ n) => n !== chosen.target), chosen.x, (x) => change({ x }), "the first column of numbers") : null,
      chosen.target && chosen.view === "slice" ? select("table-y", "Vertical axis", numeric.filter((/** @type {string} */ n) => n !== chosen.target), chosen.y, (y) => change({ y }), "the second column of numbers") : null),
    this.schema(about, chosen)];
  }

  /** @param {any} about @param {any} chosen */
  schema(about, chosen) {
    const used = new Set(chosen.columns.length ? chosen.columns : about.columns);
    const rows = about.schema.columns.map((/** @type {any} */ column) => {
      const box = el("input", {
        type: "checkbox", checked: used.has(column.name) && column.kind !== "dropped", disabled: !chosen.target || column.kind === "dropped", "aria-label": `Use ${column.name}`, "data-key": `use-${column.name}`,
        onchange: (/** @type {any} */ e) => this.store.update((/** @type {any} */ s) => {
          if (e.target.checked) used.add(column.name); else used.delete(column.name);
          s.data = { ...s.data, columns: about.columns.filter((/** @type {string} */ name) => used.has(name) && name !== s.data.target) };
        }),
      });
      return el("tr", {}, el("td", {}, box), el("th", { scope: "row" }, column.name), el("td", {}, column.kind, column.note ? el("span", { class: "hint" }, ` ${column.note}`) : null), el("td", {}, column.missing ? `${column.missing}` : ""));
    });
    return el("details", { open: true }, el("summary", {}, "Columns"), el("div", { class: "schema", tabindex: "0", role: "region", "aria-label": "Columns of the table" },
      el("table", {}, el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Use"), el("th", { scope: "col" }, "Column"), el("th", { scope: "col" }, "Kind"), el("th", { scope: "col" }, "Missing"))), el("tbody", {}, ...rows))));
  }

  /** @param {File} file */
  async upload(file) {
    say(`Reading ${file.name} …`);
    const reply = await fetch("/upload", { method: "POST", body: file, headers: { "x-file-name": encodeURIComponent(file.name).slice(-160) } });
    const found = await reply.json();
    if (!reply.ok) return say(found.message, true);
    say(`${found.about.name}: ${found.about.rows.toLocaleString("en")} rows. Choose the target.`);
    this.table = found;
    this.waiting = { kind: "table" };
    this.render();
  }

  /** @param {any} table @param {string} target */
  useTable(table, target) {
    this.table = table;
    if (!target) { this.waiting = { kind: "table" }; this.render(); return; }
    this.waiting = null;
    this.store.update((/** @type {any} */ s) => {
      const before = s.data.kind === "table" && s.data.file === table.file ? s.data : { columns: [], x: "", y: "", view: "slice" };
      const axis = (/** @type {string} */ name) => (name === target ? "" : name);
      s.data = { kind: "table", file: table.file, target, columns: before.columns.filter((/** @type {string} */ name) => name !== target), x: axis(before.x), y: axis(before.y), view: before.view };
      s.terms = ["x1", "x2"];
    });
    this.on.schema(table.file, target);
  }

  /** @param {any} data */
  images(data) {
    const change = (/** @type {any} */ fields) => this.store.update((/** @type {any} */ s) => { s.data = { ...s.data, ...fields }; });
    const name = el("select", { id: "image-set", "data-key": "image-set", onchange: (/** @type {any} */ e) => change({ name: e.target.value }) }, ...this.about.images.map((/** @type {string} */ one) => el("option", { value: one }, one)));
    name.value = data.name;
    const rows = data.name === "digits" ? null : this.range("Images", data.rows, 1000, 60000, 1000, (found) => change({ rows: found }));
    return [el("div", { class: "fields" }, el("label", { for: "image-set" }, "Images", name), rows), this.pad.element];
  }

  terms() {
    const { data, terms } = this.store.setup;
    if (data.kind === "images" || this.waiting || (data.kind === "table" && !(data.x && data.y))) return null;
    const toggle = (/** @type {string} */ term) => this.store.update((/** @type {any} */ s) => {
      s.terms = this.about.terms.filter((/** @type {string} */ name) => (name === term ? !s.terms.includes(name) : s.terms.includes(name)));
      if (!s.terms.length) s.terms = [term];
    });
    const known = data.kind === "table" ? this.about.terms.filter((/** @type {string} */ term) => term !== "x1" && term !== "x2") : this.about.terms;
    return el("fieldset", {}, el("legend", {}, "Inputs"), el("div", { class: "terms" }, ...known.map((/** @type {string} */ term) =>
      el("button", { class: terms.includes(term) ? "chosen" : "", "aria-pressed": String(terms.includes(term)), "data-key": `term-${term}`, onclick: () => toggle(term) }, TERM_NAMES[/** @type {"x1"} */ (term)] || term))));
  }

  validation() {
    const { data, validation } = this.store.setup;
    if (data.kind === "toy" || this.waiting) return null;
    return el("div", { class: "fields" }, this.range("Share for validation", validation, 0, 0.5, 0.05, (found) => this.store.update((/** @type {any} */ s) => { s.validation = found; })));
  }
}

/** Some points to begin with. @type {number[][]} */
const START = [...Array(10).keys()].map((i) => [+(1.2 * Math.cos(i)).toFixed(3), +(1.2 * Math.sin(i)).toFixed(3), 0]).concat(
  [...Array(10).keys()].map((i) => [+(3 * Math.cos(i * 0.63)).toFixed(3), +(3 * Math.sin(i * 0.63)).toFixed(3), 1]));
