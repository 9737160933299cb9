// @ts-check
/** Colours, the same as those of manynets' pictures, and maps painted with them. */

/** Okabe and Ito's colours, distinct to the colour-blind. @type {[number, number, number][]} */
export const PALETTE = [[0, 114, 178], [213, 94, 0], [0, 158, 115], [204, 121, 167], [230, 159, 0], [86, 180, 233], [240, 228, 66],
  [120, 94, 240], [150, 150, 150], [139, 69, 19]];

/** @param {number} code @param {number} [alpha] */
export const colour = (code, alpha = 1) => `rgb(${PALETTE[((code % 10) + 10) % 10].join(" ")} / ${alpha})`;

/** @param {string} name @returns {string} the value of a custom property of the theme */
export function theme(name) {
  probe.style.color = `var(--${name})`;
  return getComputedStyle(probe).color;
}
const probe = document.createElement("i");
probe.hidden = true;
document.documentElement.append(probe);

/** @type {[number, number, number]} */
let paper = [255, 255, 255];
export function readTheme() {
  const found = theme("card").match(/[\d.]+/g) || ["255", "255", "255"];
  paper = [Number(found[0]), Number(found[1]), Number(found[2])];
  fillPixels();
}
export const isDark = () => paper[0] < 100;

/** The pixel of each class and share: rows of 256, from unsure to sure. */
const pixels = new Uint32Array(10 * 256);

function fillPixels() {
  for (let code = 0; code < 10; code++) {
    for (let level = 0; level < 256; level++) {
      const weight = 0.1 + ((isDark() ? 0.78 : 0.68) * level) / 255;
      const [r, g, b] = PALETTE[code].map((part, i) => Math.round(paper[i] + (part - paper[i]) * weight));
      pixels[256 * code + level] = (255 << 24) | (b << 16) | (g << 8) | r;
    }
  }
}

/** Return what `paint` takes for a class and how sure it is, 0 to 1. @param {number} code @param {number} share */
export const level = (code, share) => 256 * code + ((share > 1 ? 1 : share > 0 ? share : 0) * 255 | 0);

/**
 * Paint values on a grid, whose rows go from the bottom up.
 * @param {number} side @param {(i: number) => number} pixel the `level` at a point
 * @param {HTMLCanvasElement} canvas
 */
export const paint = (side, pixel, canvas) => paintMany(side, [pixel], canvas);

/**
 * Paint several grids, one below the other.
 * @param {number} side @param {((i: number) => number)[]} grids @param {HTMLCanvasElement} canvas
 */
export function paintMany(side, grids, canvas) {
  const height = side * grids.length;
  if (canvas.width !== side || canvas.height !== height) { canvas.width = side; canvas.height = height; }
  if (!height) return;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(side, height), out = new Uint32Array(image.data.buffer);
  grids.forEach((pixel, k) => {
    for (let row = 0; row < side; row++) {
      const from = row * side, to = (side * (k + 1) - 1 - row) * side;
      for (let column = 0; column < side; column++) out[to + column] = pixels[pixel(from + column)];
    }
  });
  context.putImageData(image, 0, 0);
}

/**
 * Values around 0: negative ones in the first colour, positive ones in the second.
 * @param {Float32Array} values @param {number} start @param {number} count
 * @returns {(i: number) => number}
 */
export function signed(values, start, count) {
  let reach = 0;
  for (let i = start; i < start + count; i++) reach = Math.max(reach, Math.abs(values[i]));
  const scale = reach > 0 && Number.isFinite(reach) ? 1 / reach : 0;
  return (i) => { const value = values[start + i] * scale; return value > 0 ? level(1, value) : level(0, -value); };
}

/**
 * Values from low to high, the middle between the two colours.
 * @param {Float32Array} values @param {number} low @param {number} high @param {number} start
 * @returns {(i: number) => number}
 */
function ranged(values, low, high, start) {
  const scale = high > low ? 2 / (high - low) : 0;
  return (i) => { const value = (values[start + i] - low) * scale - 1; return value > 0 ? level(1, value) : level(0, -value); };
}

/**
 * Classes with their confidence.
 * @param {Float32Array} codes @param {Float32Array} confidence @param {number} classes @param {number} start
 * @returns {(i: number) => number}
 */
function certain(codes, confidence, classes, start) {
  const chance = 1 / classes;
  return (i) => level(codes[start + i] % 10, (confidence[start + i] - chance) / (1 - chance));
}

/**
 * The output of a network, as `paint` takes it: classes with their confidence, the probability of the second class, or numbers.
 * @param {Float32Array} values @param {Float32Array|undefined} confidence of classes @param {any} header that of the data @param {number} [start]
 */
export function output(values, confidence, header, start = 0) {
  if (confidence) return certain(values, confidence, header.classes.length, start);
  return header.task === "binary" ? ranged(values, 0, 1, start) : ranged(values, header.least, header.most, start);
}
