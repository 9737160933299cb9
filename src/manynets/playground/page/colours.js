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
}
export const isDark = () => paper[0] < 100;

/**
 * Write the pixel of a class and how sure it is, 0 to 1.
 * @param {Uint8ClampedArray} out @param {number} at @param {number} code @param {number} share
 */
function put(out, at, code, share) {
  const own = PALETTE[code % 10], weight = 0.1 + (isDark() ? 0.78 : 0.68) * share;
  for (let i = 0; i < 3; i++) out[at + i] = paper[i] + (own[i] - paper[i]) * weight;
  out[at + 3] = 255;
}

/**
 * Paint values on a grid, whose rows go from the bottom up.
 * @param {number} side @param {(i: number) => [number, number]} pixel class and share at a point
 * @param {HTMLCanvasElement} canvas
 */
export function paint(side, pixel, canvas) {
  if (canvas.width !== side || canvas.height !== side) { canvas.width = side; canvas.height = side; }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(side, side);
  for (let row = 0; row < side; row++) {
    for (let column = 0; column < side; column++) {
      const [code, share] = pixel(row * side + column);
      put(image.data, 4 * ((side - 1 - row) * side + column), code, share);
    }
  }
  context.putImageData(image, 0, 0);
}

/**
 * Values around 0: negative ones in the first colour, positive ones in the second.
 * @param {Float32Array} values @param {number} [start] @param {number} [count] @param {number} [reach]
 * @returns {(i: number) => [number, number]}
 */
export function signed(values, start = 0, count = values.length, reach = 0) {
  if (!reach) for (let i = start; i < start + count; i++) reach = Math.max(reach, Math.abs(values[i]));
  const scale = reach > 0 && Number.isFinite(reach) ? 1 / reach : 0;
  return (i) => { const value = values[start + i] * scale; return [value > 0 ? 1 : 0, Math.min(1, Math.abs(value))]; };
}

/**
 * Values from low to high, the middle between the two colours.
 * @param {Float32Array} values @param {number} low @param {number} high @param {number} [start]
 * @returns {(i: number) => [number, number]}
 */
export function ranged(values, low, high, start = 0) {
  const scale = high > low ? 2 / (high - low) : 0;
  return (i) => { const value = (values[start + i] - low) * scale - 1; return [value > 0 ? 1 : 0, Math.min(1, Math.abs(value))]; };
}

/**
 * Classes with their confidence.
 * @param {Float32Array} codes @param {Float32Array} confidence @param {number} classes @param {number} [start]
 * @returns {(i: number) => [number, number]}
 */
export function classes(codes, confidence, classes, start = 0) {
  const chance = 1 / classes;
  return (i) => [codes[start + i], Math.max(0, (confidence[start + i] - chance) / (1 - chance))];
}
