// @ts-check
/** Charts on canvases: curves, histograms, a confusion matrix, residuals, bars. */
import { colour, theme } from "/colours.js";
import { el, fill, fitted, short } from "/dom.js";
import { ticks, tickText } from "/plane.js";

const LEFT = 46;

/**
 * Draw lines over steps.
 * @param {HTMLCanvasElement} canvas @param {Float32Array} xs
 * @param {{values: Float32Array, colour: string}[]} lines @param {{log?: boolean, mark?: number}} [how]
 */
export function drawLines(canvas, xs, lines, how = {}) {
  const [context, width, height] = fitted(canvas);
  const box = { left: LEFT, right: width - 8, top: 8, bottom: height - 22 };
  const log = (/** @type {number} */ v) => (how.log ? Math.log10(Math.max(v, 1e-12)) : v);
  let low = Infinity, high = -Infinity;
  for (const line of lines) for (const value of line.values) if (Number.isFinite(value) && value < 1e37) { low = Math.min(low, log(value)); high = Math.max(high, log(value)); }
  context.font = "11px system-ui, sans-serif";
  context.fillStyle = theme("soft");
  if (!Number.isFinite(low) || !xs.length) { context.fillText("Press play to train the network.", box.left, height / 2); return; }
  if (high - low < 1e-9) { low -= 0.5; high += 0.5; }
  const pad = (high - low) * 0.05;
  low -= pad; high += pad;
  const most = Math.max(xs[xs.length - 1], 1);
  const marks = ticks(low, high, 4).map((tick) => ({ tick, text: tickText(how.log ? +(10 ** tick).toPrecision(2) : tick) }));
  box.left = widest(context, marks.map((mark) => mark.text));
  const x = (/** @type {number} */ v) => box.left + (v / most) * (box.right - box.left);
  const y = (/** @type {number} */ v) => box.bottom - ((log(v) - low) / (high - low)) * (box.bottom - box.top);
  context.strokeStyle = theme("line");
  context.lineWidth = 1;
  for (const { tick, text } of marks) {
    const at = box.bottom - ((tick - low) / (high - low)) * (box.bottom - box.top);
    context.beginPath(); context.moveTo(box.left, at); context.lineTo(box.right, at); context.stroke();
    context.textAlign = "right";
    context.fillText(text, box.left - 5, at + 4);
  }
  context.textAlign = "center";
  for (const tick of ticks(0, most, 5)) context.fillText(tick >= 1000 ? `${+(tick / 1000).toPrecision(3)}k` : String(tick), Math.min(x(tick), box.right - 10), height - 6);
  for (const line of lines) {
    context.beginPath();
    context.strokeStyle = line.colour;
    context.lineWidth = 2;
    let begun = false;
    for (let i = 0; i < xs.length; i++) {
      const value = line.values[i];
      if (!Number.isFinite(value) || value > 1e37) continue;
      if (begun) context.lineTo(x(xs[i]), y(value)); else context.moveTo(x(xs[i]), y(value));
      begun = true;
    }
    context.stroke();
  }
  if (how.mark !== undefined) {
    context.strokeStyle = theme("ink");
    context.lineWidth = 1;
    context.beginPath(); context.moveTo(x(how.mark), box.top); context.lineTo(x(how.mark), box.bottom); context.stroke();
  }
}

/** The left edge of a chart, right of these texts. @param {CanvasRenderingContext2D} context @param {string[]} texts */
function widest(context, texts) {
  return Math.max(LEFT, ...texts.map((text) => Math.ceil(context.measureText(text).width) + 8));
}

/** @param {HTMLCanvasElement} canvas @param {Float32Array} counts @param {number} reach @param {string} ink */
export function drawHistogram(canvas, counts, reach, ink) {
  const [context, width, height] = fitted(canvas);
  const most = Math.max(...counts, 1), bar = width / counts.length;
  context.fillStyle = ink;
  counts.forEach((count, i) => { const h = (count / most) * (height - 16); context.fillRect(i * bar, height - 14 - h, Math.max(bar - 1, 1), h); });
  context.fillStyle = theme("soft");
  context.font = "10px system-ui, sans-serif";
  context.textAlign = "left"; context.fillText(short(-reach), 0, height - 2);
  context.textAlign = "center"; context.fillText("0", width / 2, height - 2);
  context.textAlign = "right"; context.fillText(short(reach), width, height - 2);
}

/** @param {HTMLCanvasElement} canvas @param {Float32Array} truth @param {Float32Array} fitted_ */
export function drawResiduals(canvas, truth, fitted_) {
  const [context, width, height] = fitted(canvas);
  let low = Infinity, high = -Infinity;
  for (const value of truth) { low = Math.min(low, value); high = Math.max(high, value); }
  const span = high - low || 1;
  context.font = "11px system-ui, sans-serif";
  const beside = ticks(-span / 2, span / 2, 4), left = widest(context, beside.map(tickText));
  const x = (/** @type {number} */ v) => left + ((v - low) / span) * (width - left - 10);
  const y = (/** @type {number} */ v) => height / 2 - 8 - (v / span) * (height - 30);
  context.strokeStyle = theme("line");
  context.beginPath(); context.moveTo(left, y(0)); context.lineTo(width - 8, y(0)); context.stroke();
  context.fillStyle = colour(0, 0.55);
  for (let i = 0; i < truth.length; i++) { context.beginPath(); context.arc(x(fitted_[i]), y(truth[i] - fitted_[i]), 2.2, 0, 7); context.fill(); }
  context.fillStyle = theme("soft");
  for (const tick of ticks(low, high, 4)) { context.textAlign = "center"; context.fillText(tickText(tick), x(tick), height - 4); }
  for (const tick of beside) { context.textAlign = "right"; context.fillText(tickText(tick), left - 4, y(tick) + 4); }
}

/** @param {string[]} names @param {Float32Array} counts */
export function confusionTable(names, counts) {
  const n = names.length;
  const head = el("tr", {}, el("th", { scope: "col" }, "True"), ...names.map((name) => el("th", { scope: "col" }, name)));
  const rows = names.map((name, i) => {
    const total = counts.slice(i * n, (i + 1) * n).reduce((a, b) => a + b, 0) || 1;
    const cells = names.map((_, j) => {
      const cell = el("td", {}, String(counts[i * n + j]));
      const share = counts[i * n + j] / total;
      cell.style.background = share > 0 ? colour(i === j ? 2 : 1, 0.05 + 0.35 * share) : "";
      return cell;
    });
    return el("tr", {}, el("th", { scope: "row" }, name), ...cells);
  });
  return el("table", { class: "confusion" }, el("caption", { class: "hint" }, "Rows: the true class. Columns: the class that the network predicts."), el("thead", {}, head), el("tbody", {}, ...rows));
}

/** The outputs of a layer as a strip of bars. @param {HTMLCanvasElement} canvas @param {Float32Array} values */
export function drawBars(canvas, values) {
  const [context, width, height] = fitted(canvas);
  let reach = 0;
  for (const value of values) reach = Math.max(reach, Math.abs(value));
  const bar = width / values.length, middle = height / 2;
  values.forEach((value, i) => {
    const size = reach ? (value / reach) * middle : 0;
    context.fillStyle = colour(value > 0 ? 1 : 0, 0.9);
    context.fillRect(i * bar, Math.min(middle, middle - size), Math.max(bar - 0.5, 0.7), Math.max(Math.abs(size), 0.6));
  });
}
