// @ts-check
/** The lower part of the page: curves, inside, networks, options, code, lessons. */
import { colour } from "/colours.js";
import { confusionTable, drawHistogram, drawLines, drawResiduals } from "/charts.js";
import { el, fill, say, short } from "/dom.js";
import { lessons } from "/lessons.js";
import { form } from "/options.js";
import { Wall } from "/wall.js";

const TABS = [["curves", "Curves"], ["inside", "Inside"], ["networks", "Many networks"], ["options", "All options"], ["code", "Code"], ["lessons", "Lessons"]];

const SHOW = { curves: "Show the curves", networks: "Show the networks", inside: "Look inside" };

/** Milliseconds between two pictures of curves while a network is trained. */
const CURVES_EVERY = 120;

export class Tabs {
  /** @param {HTMLElement} owner @param {any} store @param {any} about @param {any} on */
  constructor(owner, store, about, on) {
    this.store = store;
    this.about = about;
    this.on = on;
    this.chosen = "curves";
    this.language = "manynets";
    this.drawn = 0;
    /** @type {any} */ this.data = null;
    /** @type {any} */ this.frame = null;
    /** @type {Record<string, any>} */ this.buttons = {};
    /** @type {Record<string, any>} */ this.panels = {};
    const bar = el("div", { class: "tabs", role: "tablist", "aria-label": "More" });
    for (const [name, text] of TABS) {
      this.buttons[name] = el("button", { role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.choose(name), onkeydown: (/** @type {KeyboardEvent} */ e) => this.key(e) }, text);
      this.panels[name] = el("div", { role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabindex: "0" });
      bar.append(this.buttons[name]);
    }
    fill(owner, bar, ...Object.values(this.panels));
    this.makeCurves();
    this.makeInside();
    this.makeNetworks();
    this.makeCode();
    this.makeLessons();
    this.choose("curves");
  }

  /** @param {string} name */
  choose(name) {
    this.chosen = name;
    for (const [one] of TABS) {
      this.buttons[one].setAttribute("aria-selected", String(one === name));
      this.buttons[one].tabIndex = one === name ? 0 : -1;
      this.panels[one].hidden = one !== name;
    }
    if (name === "options") this.renderOptions();
    if (name === "code") this.on.code(this.language);
    this.on.view();
    this.draw();
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const names = TABS.map(([name]) => name), at = names.indexOf(this.chosen);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(names[(to + names.length) % names.length]);
    this.buttons[this.chosen].focus();
  }

  /** @param {any} data */
  setData(data) {
    this.data = data;
    this.frame = null;
    this.metricTitle.textContent = `${metricName(data.header.metric)} by epoch`;
    this.renderSeveral();
    if (this.chosen === "options") this.renderOptions();
    if (this.chosen === "code") this.on.code(this.language);
    this.draw();
  }

  /** @param {any} frame */
  setFrame(frame) {
    this.frame = frame;
    const now = performance.now();
    if (this.chosen === "curves" && frame.header.state === "running" && now - this.drawn < CURVES_EVERY) return;
    this.drawn = now;
    this.draw();
  }

  draw() {
    if (!this.frame || !this.data) { if (this.chosen === "curves" && this.lossChart) drawLines(this.lossChart, new Float32Array(0), []); return; }
    if (this.chosen === "curves") this.drawCurves();
    if (this.chosen === "inside") this.drawInside();
    if (this.chosen === "networks" && this.data.header.networks > 1) this.wall.show(this.data, this.frame);
  }

  // ------------------------------------------------------------------------------------------------------------------ curves

  makeCurves() {
    this.lossChart = el("canvas", { role: "img", "aria-label": "Loss by epoch" });
    this.metricChart = el("canvas", { role: "img", "aria-label": "Metric by epoch" });
    this.metricTitle = el("span", {}, "Accuracy by epoch");
    this.log = el("input", { type: "checkbox", id: "log", onchange: () => this.draw() });
    const key = () => {
      const line = (/** @type {number} */ code) => { const mark = el("i"); mark.style.background = colour(code); return mark; };
      return el("span", { class: "hint legend" }, el("span", {}, line(0), "training"), el("span", {}, line(1), "validation"));
    };
    fill(this.panels.curves, el("div", { class: "charts" },
      el("div", { class: "chart" }, el("h3", {}, "Loss by epoch", key(), el("label", { for: "log", class: "hint" }, this.log, " logarithmic")), this.lossChart),
      el("div", { class: "chart" }, el("h3", {}, this.metricTitle, key()), this.metricChart)));
    new ResizeObserver(() => this.draw()).observe(this.panels.curves);
  }

  drawCurves() {
    const { arrays, header } = this.frame, metric = this.data.header.metric;
    const xs = arrays["curve epoch"] || new Float32Array(0);
    const lines = (/** @type {string} */ name) => [[name, 0], [`val_${name}`, 1]].filter(([one]) => arrays[`curve ${one}`])
      .map(([one, code]) => ({ values: arrays[`curve ${one}`], colour: colour(Number(code)) }));
    const mark = header.past ? header.epoch : undefined;
    drawLines(this.lossChart, xs, lines("loss"), { log: this.log.checked, mark });
    drawLines(this.metricChart, xs, lines(metric), { mark });
    const last = header.last;
    this.lossChart.setAttribute("aria-label", `Loss by epoch: training ${short(last.loss ?? NaN)}, validation ${short(last.val_loss ?? NaN)}`);
    this.metricChart.setAttribute("aria-label", `${metricName(metric)} by epoch: training ${short(last[metric] ?? NaN)}, validation ${short(last[`val_${metric}`] ?? NaN)}`);
  }

  // ------------------------------------------------------------------------------------------------------------------ inside

  makeInside() {
    this.histograms = el("div", { class: "small-charts" });
    this.deadText = el("p", { class: "hint" });
    this.judged = el("div", {});
    this.judgedTitle = el("h3", {}, "Confusion matrix");
    fill(this.panels.inside, el("div", { class: "charts" },
      el("div", {}, el("h3", {}, "Weights and gradients"), this.deadText, this.histograms),
      el("div", { class: "chart" }, this.judgedTitle, this.judged)));
  }

  drawInside() {
    const { header, arrays } = this.frame;
    if (!header.layers) return;
    const names = header.layers.flatMap((/** @type {string} */ layer) => [`weights ${layer}`, `gradients ${layer}`]);
    if (this.histograms.childElementCount !== names.length) {
      fill(this.histograms, ...names.map((/** @type {string} */ name) => el("div", {}, el("span", { class: "hint" }, layerName(name)), el("canvas", { role: "img", "aria-label": `Histogram: ${layerName(name)}` }))));
    }
    names.forEach((/** @type {string} */ name, /** @type {number} */ i) => drawHistogram(this.histograms.children[i].lastChild, arrays[name], header.ranges[name], name.startsWith("weights") ? colour(0) : colour(2)));
    const dead = header.dead.reduce((/** @type {number} */ a, /** @type {number[]} */ units) => a + units.length, 0);
    const total = header.hidden.reduce((/** @type {number} */ a, /** @type {number} */ b) => a + b, 0);
    this.deadText.textContent = total ? `Dead units (one output for all rows): ${dead} of ${total}` : "No hidden units.";
    const now = performance.now();
    if (now - (this.judgedAt || 0) < 250) return;
    this.judgedAt = now;
    if (arrays.confusion) {
      this.judgedTitle.textContent = `Confusion matrix (${header.judged} rows)`;
      fill(this.judged, confusionTable(this.data.header.classes, arrays.confusion));
    } else if (arrays.truth) {
      this.judgedTitle.textContent = `Residuals by prediction (${header.judged} rows)`;
      if (this.judged.firstChild?.nodeName !== "CANVAS") fill(this.judged, el("canvas", { role: "img", "aria-label": "Residuals by prediction" }));
      drawResiduals(this.judged.firstChild, arrays.truth, arrays.fitted);
    }
  }

  // ---------------------------------------------------------------------------------------------------------------- networks

  makeNetworks() {
    this.several = el("div", { class: "several" });
    this.wallBox = el("div", { class: "wall" });
    this.wallHint = el("p", { class: "hint" });
    this.wall = new Wall(this.wallBox, (network) => this.on.open(network));
    fill(this.panels.networks, this.several, this.wallHint, this.wallBox);
  }

  renderSeveral() {
    const { networks, data } = this.store.setup;
    const counts = [1, 4, 16, 64, 256];
    if (!counts.includes(networks.count)) counts.push(networks.count);
    const count = el("select", { id: "count", onchange: (/** @type {any} */ e) => this.store.update((/** @type {any} */ s) => { s.networks = { ...s.networks, count: Number(e.target.value) }; }) },
      ...counts.sort((a, b) => a - b).map((n) => el("option", { value: n }, `${n}`)));
    count.value = String(networks.count);
    const vary = el("select", { id: "vary", onchange: (/** @type {any} */ e) => this.store.update((/** @type {any} */ s) => { s.networks = { ...s.networks, vary: e.target.value }; }) },
      el("option", { value: "seed" }, "seeds"), el("option", { value: "lr" }, "learning rates"), el("option", { value: "hidden" }, "units of a layer"));
    vary.value = networks.vary;
    const focused = document.activeElement?.id;
    fill(this.several, el("label", { for: "count" }, "Networks trained together", count), el("label", { for: "vary" }, "that differ in their", vary));
    if (focused === "count" || focused === "vary") document.getElementById(focused)?.focus();
    this.wallBox.hidden = networks.count === 1;
    if (networks.count === 1) this.wall.clear();
    this.wallHint.textContent = networks.count === 1
      ? "Choose how many: they are trained together, each with its own seed, learning rate or number of units."
      : `Sorted by ${data.kind === "toy" || this.store.setup.validation > 0 ? "validation" : "training"} loss, the best first. Click one to show it.`;
  }

  // ----------------------------------------------------------------------------------------------------------------- options

  renderOptions() {
    const table = this.about.options, { network, recipe } = this.store.setup;
    const shown = JSON.stringify(Object.values(recipe).map((/** @type {any} */ value) => value?.kind)); // which fields there are
    if (this.panels.options.contains(document.activeElement) && this.optionsFor === shown) return;
    this.optionsFor = shown;
    const focused = /** @type {any} */ (document.activeElement)?.dataset?.field;
    const section = (/** @type {string} */ title, /** @type {any} */ owner, /** @type {string} */ name) => el("section", { "aria-label": `Options: ${title.toLowerCase()}` }, el("h3", {}, title),
      el("div", {}, ...form(table, owner, (change) => this.store.update((/** @type {any} */ s) => change(s[name])))));
    fill(this.panels.options, el("div", { class: "options" }, section("Network", network, "network"), section("Training", recipe, "recipe")));
    if (focused) /** @type {any} */ (this.panels.options.querySelector(`[data-field="${focused}"]`))?.focus();
  }

  // -------------------------------------------------------------------------------------------------------------------- code

  makeCode() {
    const languages = [["manynets", "manynets"], ["pytorch", "PyTorch"], ["sklearn", "scikit-learn"]];
    this.codeBar = el("div", { class: "code-bar", role: "group", "aria-label": "Library" });
    this.codeText = el("pre", { tabindex: "0", role: "region", "aria-label": "Program" });
    const render = () => fill(this.codeBar, ...languages.map(([name, text]) => el("button", {
      class: name === this.language ? "chosen" : "", "aria-pressed": String(name === this.language), onclick: () => { this.language = name; render(); this.on.code(name); },
    }, text)), el("button", { onclick: () => this.copy() }, "Copy"), el("button", { onclick: () => this.on.code(this.language) }, "Up to this step"));
    render();
    this.refused = el("p", { class: "question", role: "alert", hidden: true });
    fill(this.panels.code, this.codeBar, this.refused, this.codeText);
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.codeText.textContent);
      say("Copied.");
    } catch {
      getSelection()?.selectAllChildren(this.codeText);
      say("Press Ctrl+C to copy.");
    }
  }

  /** @param {any} message */
  showCode(message) {
    if (message.language !== this.language) return;
    this.codeText.textContent = message.text;
    this.codeText.hidden = !message.text;
    this.refused.textContent = message.refused;
    this.refused.hidden = !message.refused;
  }

  // ----------------------------------------------------------------------------------------------------------------- lessons

  makeLessons() {
    this.known = lessons(this.about.images);
    this.lesson = 0;
    this.tried = -1;
    this.lessonList = el("ol", {});
    this.story = el("div", { class: "story" });
    fill(this.panels.lessons, el("div", { class: "lessons" }, this.lessonList, this.story));
    this.renderLessons();
  }

  renderLessons() {
    fill(this.lessonList, ...this.known.map((one, i) => el("li", {}, el("button", {
      class: i === this.lesson ? "chosen" : "", "aria-current": i === this.lesson ? "true" : undefined,
      onclick: () => { this.lesson = i; this.begin(0); },
    }, `${i + 1}. ${one.title}`))));
    const found = this.known[this.lesson];
    const beside = found.beside ? el("div", { class: "beside" }, ...found.beside.map(([title, code]) => el("div", {}, el("h4", {}, title), el("pre", { tabindex: "0", role: "region", "aria-label": title }, code)))) : null;
    fill(this.story, el("h3", { tabindex: "-1" }, found.title), ...found.story.map((text) => el("p", {}, text)),
      el("div", { class: "tries", role: "group", "aria-label": "Networks to try" }, ...found.tries.map(([name], i) => el("button", { class: i === this.tried ? "chosen" : "", "aria-pressed": String(i === this.tried), "data-try": i, onclick: () => this.begin(i) }, name))),
      beside, el("p", { class: "question" }, el("strong", {}, "Question. "), found.question),
      el("details", {}, el("summary", {}, "Answer"), el("p", {}, found.answer)),
      el("p", {}, el("button", { onclick: () => this.choose("code") }, "Show the code"), " ", found.tab ? el("button", { onclick: () => this.choose(String(found.tab)) }, SHOW[/** @type {"curves"} */ (found.tab)]) : null));
  }

  /** @param {number} i */
  begin(i) {
    const [name, parts] = this.known[this.lesson].tries[i];
    const focused = this.story.contains(document.activeElement);
    this.tried = i;
    this.renderLessons();
    if (focused) this.story.querySelector(`[data-try="${i}"]`)?.focus();
    this.on.begin(parts, name);
  }
}

/** Layers are counted from 1, as in the diagram. @param {string} name */
const layerName = (name) => name.replace(/hidden(\d+)/, (_, number) => `of hidden layer ${Number(number) + 1}`).replace("output", "of the output");

/** @param {string} name */
export const metricName = (name) => (name === "r2" ? "R²" : name[0].toUpperCase() + name.slice(1));
