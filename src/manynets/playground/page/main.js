// @ts-check
/** The page: one setup, one training on the server, and the pictures of its frames. */
import { readTheme } from "/colours.js";
import { DataPanel } from "/data.js";
import { Diagram } from "/diagram.js";
import { byId, el, fill, say, short } from "/dom.js";
import { Link } from "/link.js";
import { input, label } from "/options.js";
import { Plane } from "/plane.js";
import { Store } from "/store.js";
import { metricName, Tabs } from "/tabs.js";

const about = await (await fetch("/about")).json();
readTheme();

let state = "paused", network = 0, page = "";
/** @type {number|null} */ let past = null;
let wantsPlay = false, live = 0; // wantsPlay: until a frame shows that the training plays
/** @type {any} */ let data = null, waiting = null;
/** @type {any} */ let timer = 0, slow = 0;
const drawn = { frames: 0, step: 0 }; // for measurements and tests

const store = new Store(about.defaults, () => {
  clearTimeout(timer);
  timer = setTimeout(sendSetup, 60);
  panel.render();
});
const link = new Link(onBinary, onMessage, {
  open: begin,
  lost: (again) => say(again ? "The connection was lost; trying again …" : "The server has ended. Start it again with manynets playground.", true),
});
const plane = new Plane(byId("plane"), (x, y) => panel.add(x, y));
const panel = new DataPanel(byId("data"), store, about, {
  drawing: (on) => plane.setDrawing(on),
  schema: (file, target) => link.send("schema", { file, target }),
  probe: (pixels) => link.send("probe", { pixels }),
});
const diagram = new Diagram(byId("diagram"), byId("layers"), {
  layers: (hidden) => store.update((s) => {
    s.network.hidden = hidden;
    if (Array.isArray(s.network.dropout)) s.network.dropout = 0;
  }),
  unit: (at) => { plane.unit = at; byId("shown").textContent = at ? `unit ${at.unit + 1} of hidden layer ${at.layer + 1}` : networkName(); plane.draw(); },
});
const tabs = new Tabs(byId("tabs"), store, about, {
  code: (/** @type {string} */ language) => link.send("code", { language }),
  view: () => sendView(),
  open: (/** @type {number} */ number) => { network = number; sendView(); },
  begin: (/** @type {any} */ parts, /** @type {string} */ name) => { store.begin(parts); wantsPlay = true; say(`${name}: training`); },
});

function sendSetup() {
  timer = 0;
  wantsPlay = wantsPlay || state === "running";
  link.send("setup", { setup: store.setup });
  if (wantsPlay) link.send("play"); // in this order, so that it plays whatever else comes between
  clearTimeout(slow);
  slow = setTimeout(() => say("Preparing the data and the network …"), 700);
  history.replaceState(null, "", store.address());
}

function sendView() {
  if (data) link.send("view", { network, step: past, details: tabs.chosen === "inside", wall: tabs.chosen === "networks" });
}

/** @param {any} frame */
function onBinary(frame) {
  const { kind } = frame.header;
  if (kind === "data") return onData(frame);
  if (kind === "probe") return panel.pad.show(frame);
  if (waiting === null) requestAnimationFrame(draw);
  else link.send("seen", { frame: waiting.header.frame });
  waiting = frame;
}

/** @param {any} frame */
function onData(frame) {
  clearTimeout(slow);
  if (byId("status").textContent.startsWith("Preparing")) say("");
  data = frame;
  waiting = null;
  network = 0;
  past = null;
  const { header } = frame;
  panel.notes = header.notes;
  panel.pad.setData(frame);
  panel.render();
  plane.setData(frame);
  diagram.setData(frame, header.setup.network.hidden);
  tabs.setData(frame);
  renderQuick();
  renderSliders();
  byId("metric-name").textContent = metricName(header.metric);
  byId("shown").textContent = networkName();
  readout({ epoch: 0, last: {}, speed: 0, live_step: 0, past: false, network });  // not the numbers of the network before
  const many = header.networks > 1 ? `${header.networks} networks of ${header.setup.networks.vary === "hidden" ? "up to " : ""}` : "";
  byId("summary").textContent = `${many}${header.parameters.toLocaleString("en")} parameters · ${header.rows.toLocaleString("en")} training rows · ${header.steps_per_epoch.toLocaleString("en")} ${header.steps_per_epoch === 1 ? "step" : "steps"} per epoch · ${STEPPERS[/** @type {"compiled"} */ (header.stepper)] || header.stepper}`;
  sendView();
}

const STEPPERS = { compiled: "compiled core", closed_form: "closed form", autograd: "autograd" };

function networkName() {
  return data && data.header.networks > 1 ? `network ${network + 1} of ${data.header.networks}` : "";
}

function draw() {
  const frame = waiting;
  waiting = null;
  if (!frame || !data) return;
  const { header } = frame;
  if (header.state !== state) announce(header);
  state = header.state;
  if (state === "running" && !timer) wantsPlay = false; // not by the training that a setup is about to replace
  live = header.live_step;
  plane.setFrame(frame);
  diagram.setFrame(frame);
  tabs.setFrame(frame);
  readout(header);
  link.send("seen", { frame: header.frame });
  drawn.frames += 1;
  drawn.step = header.live_step;
}

/** @param {any} header */
function announce(header) {
  const playing = header.state === "running";
  byId("play").setAttribute("aria-label", playing ? "Pause" : "Play");
  byId("play").title = playing ? "Pause" : "Play";
  byId("play-shape").setAttribute("d", playing ? "M6 5h4v14H6zm8 0h4v14h-4z" : "M8 5v14l11-7z");
  if (header.state === "done") say(`Done after ${Math.round(header.epoch).toLocaleString("en")} epochs.`);
  if (header.state === "diverged" || header.state === "failed") say(header.message, true);
}

/** @param {any} header */
function readout(header) {
  const { last } = header, { metric } = data.header;
  const set = (/** @type {string} */ id, /** @type {string} */ text) => { const at = byId(id); if (at.textContent !== text) at.textContent = text; };
  set("epoch", header.epoch < 10 && header.epoch % 1 ? header.epoch.toFixed(2) : Math.floor(header.epoch).toLocaleString("en"));
  set("loss", short(last.loss ?? NaN));
  set("val-loss", short(last.val_loss ?? NaN));
  const value = last[`val_${metric}`] ?? last[metric] ?? NaN;
  set("metric", metric === "accuracy" && Number.isFinite(value) ? `${(100 * value).toFixed(1)}%` : short(value));
  set("speed", header.speed > 0 ? Math.round(header.speed).toLocaleString("en") : "–");
  const scrub = byId("scrub");
  if (document.activeElement !== scrub || past === null) {
    scrub.max = String(header.live_step);
    if (past === null) scrub.value = String(header.live_step);
  }
  set("scrub-at", header.past ? `epoch ${Math.round(header.epoch).toLocaleString("en")}` : "now");
  if (data.header.networks > 1) { network = header.network; if (!plane.unit) set("shown", networkName()); }
}

// ---------------------------------------------------------------------------------------------------------------------- controls

byId("play").onclick = () => {
  if (past !== null) { past = null; sendView(); }
  wantsPlay = state !== "running"; // a setup that is about to be sent plays, too
  link.send(wantsPlay ? "play" : "pause");
};
byId("reset").onclick = () => {
  past = null;
  wantsPlay = false;
  sendView();
  const same = data && data.header.setup.recipe.optimizer.lr === store.setup.recipe.optimizer.lr;
  if (same) link.send("reset"); else link.send("setup", { setup: store.setup }); // the rate was changed while it was trained
};
byId("epoch-step").onclick = () => link.send("epoch");
byId("single-step").onclick = () => link.send("step", { steps: 1 });
byId("scrub").oninput = (/** @type {any} */ event) => {
  const at = Number(event.target.value);
  past = at >= live ? null : at;
  sendView();
};
byId("save").onclick = () => link.send("save");
byId("record").onclick = async () => {
  say("Making the animation …");
  const reply = await fetch(`/picture/${page}`);
  if (!reply.ok) return say((await reply.json()).message, true);
  const address = URL.createObjectURL(await reply.blob());
  el("a", { href: address, download: "playground.gif" }).click();
  say("Saved playground.gif.");
};
byId("share").onclick = async () => {
  const address = store.address();
  history.replaceState(null, "", address);
  try { await navigator.clipboard.writeText(address); say("Copied. The part after # is the setup; any playground opens it."); } catch { say("The setup is in the address of this page."); }
};

/** The options that are changed most often, above the panels; the others are in the tab All options. */
function renderQuick() {
  if (byId("quick").contains(document.activeElement) && byId("quick").dataset.kind === store.setup.recipe.optimizer.kind) return;
  byId("quick").dataset.kind = store.setup.recipe.optimizer.kind;
  const { network: spec, recipe } = store.setup, { kinds } = about.options;
  const field = (/** @type {string} */ kind, /** @type {string} */ name) => kinds[kind].find((/** @type {any} */ one) => one.name === name);
  const make = (/** @type {any} */ found, /** @type {any} */ owner, /** @type {(s: any) => any} */ at) => {
    const [id, made] = input(about.options, found, owner, (name, value) => store.update((s) => { at(s)[name] = value; }));
    return el("label", { for: id, title: found.help }, label(found.name), made);
  };
  const rate = field(recipe.optimizer.kind, "lr");
  const [id, lr] = input(about.options, rate, recipe.optimizer, (_, value) => {
    store.setup.recipe.optimizer.lr = value;
    if (live > 0 && data.header.networks === 1) { link.send("rate", { lr: value }); history.replaceState(null, "", store.address()); } else store.changed();
  });
  lr.step = "any";
  fill(byId("quick"), el("label", { for: id, title: "Takes effect at once, even while the network is being trained" }, "Learning rate", lr),
    make(field("Recipe", "optimizer"), recipe, (s) => s.recipe), make(field("MLP", "activation"), spec, (s) => s.network),
    make(field("Recipe", "batch_size"), recipe, (s) => s.recipe), make(field("Recipe", "epochs"), recipe, (s) => s.recipe),
    make(field("MLP", "dropout"), spec, (s) => s.network), make(field("Recipe", "l2"), recipe, (s) => s.recipe), make(field("Recipe", "seed"), recipe, (s) => s.recipe));
}

/** Sliders for the columns of a table that do not change along the plane. */
function renderSliders() {
  /** @type {Record<string, any>} */ const values = {};
  const sliders = data.header.sliders.filter((/** @type {any} */ one) => !one.values || one.values.length > 1);
  const rows = sliders.slice(0, 12).map((/** @type {any} */ one, /** @type {number} */ i) => {
    const send = (/** @type {any} */ value) => { values[one.name] = value; link.send("sliders", { values }); };
    if (one.values) {
      return el("label", { for: `slider-${i}` }, one.name, el("select", { id: `slider-${i}`, onchange: (/** @type {any} */ e) => send(one.values[e.target.selectedIndex]) }, ...one.values.map((/** @type {any} */ value) => el("option", {}, String(value)))));
    }
    const out = el("span", {}, short(one.value));
    return el("label", { for: `slider-${i}` }, el("span", { class: "row" }, one.name, out), el("input", {
      id: `slider-${i}`, type: "range", min: one.low, max: one.high, step: (one.high - one.low) / 100 || 1, value: one.value,
      oninput: (/** @type {any} */ e) => { const value = Math.min(one.high, Math.max(one.low, Number(e.target.value))); out.textContent = short(value); send(value); },
    }));
  });
  fill(byId("sliders"), rows.length ? el("details", { open: true }, el("summary", {}, "The other columns along this slice"), el("div", { class: "fields" }, ...rows)) : null);
}

/** @param {any} message */
function onMessage(message) {
  if (message.type === "page") page = message.page;
  else if (message.type === "error" || message.type === "full") { clearTimeout(slow); say(message.message, true); }
  else if (message.type === "code") tabs.showCode(message);
  else if (message.type === "saved") say(`Saved as ${message.folder}. Look at it with: manynets show ${message.folder}`);
  else if (message.type === "schema" && panel.table?.file === message.file) { panel.table.about = message.about; panel.render(); }
}

// ------------------------------------------------------------------------------------------------------------------- dropped files

const drop = byId("drop");
addEventListener("dragenter", (event) => { if (event.dataTransfer?.types.includes("Files")) drop.hidden = false; });
addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.hidden = true; });
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  drop.hidden = true;
  const file = event.dataTransfer?.files[0];
  if (file) panel.upload(file);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readTheme(); plane.draw(); diagram.drawEdges(); tabs.draw(); });
addEventListener("hashchange", () => { if (store.fromAddress()) sendSetup(); });

Object.assign(window, { playground: drawn });
let begun = false;
/** Send the first setup, and the current one after a lost connection. */
function begin() {
  if (begun) { say("Connected again."); return sendSetup(); }
  begun = true;
  const shared = store.fromAddress();
  if (about.first && !shared) {
    panel.table = { file: about.first.file, about: about.first.about };
    panel.useTable(panel.table, about.first.target || "");
    if (about.first.target) return undefined;
  }
  panel.render();
  return sendSetup();
}
link.connect();
