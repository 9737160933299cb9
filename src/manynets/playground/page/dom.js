// @ts-check
/** Small helpers for the document. */

/**
 * Make an element: el("button", {class: "round", onclick: f}, "Text", child).
 * @param {string} tag
 * @param {Record<string, any>} [given] attributes; `on...` are listeners
 * @param {...(Node|string|null|undefined)} children
 * @returns {any}
 */
export function el(tag, given = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked") /** @type {any} */ (made)[name] = value;
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...children.filter((child) => child !== null && child !== undefined).map((child) => /** @type {any} */ (child)));
  return made;
}

/** @param {string} id @returns {any} */
export const byId = (id) => document.getElementById(id);

/** @param {Element} owner @param {...(Node|string|null)} children */
export function fill(owner, ...children) {
  owner.replaceChildren(...children.filter((child) => child !== null).map((child) => /** @type {any} */ (child)));
}

let fading = 0;
/**
 * Show a line at the bottom of the page, which is also read aloud.
 * @param {string} text @param {boolean} [error]
 */
export function say(text, error = false) {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("error", error);
  clearTimeout(fading);
  if (text) fading = setTimeout(() => say(""), error ? 9000 : 4500);
}

/** @param {number} value @returns {string} */
export function short(value) {
  if (!Number.isFinite(value) || Math.abs(value) > 1e37) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(2);
  return size >= 1e4 ? Math.round(value).toLocaleString("en") : size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toFixed(size < 0.1 ? 4 : 3);
}

/**
 * Make a canvas as large as it is shown, and return its context in CSS pixels.
 * @param {HTMLCanvasElement} canvas @returns {[CanvasRenderingContext2D, number, number]}
 */
export function fitted(canvas) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const width = canvas.clientWidth || 10, height = canvas.clientHeight || 10;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return [context, width, height];
}
