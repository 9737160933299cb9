// @ts-check
/** Small pictures of the toy data sets, for the buttons that choose them. */
import { colour } from "/colours.js";

/** A small generator of random numbers, so that the pictures are always the same. @param {number} seed */
function random(seed) {
  return () => { seed = (seed * 1664525 + 1013904223) >>> 0; return seed / 4294967296; };
}

/** @type {Record<string, (r: () => number, i: number) => [number, number, number]>} x and y in -1 to 1, and the class */
const POINTS = {
  spirals: (r, i) => { const u = r(), c = i % 2, t = 3.5 * Math.PI * u + Math.PI * (1 - c); return [0.92 * u * Math.sin(t), 0.92 * u * Math.cos(t), c]; },
  moons: (r, i) => { const t = Math.PI * r(), c = i % 2, s = 1 - 2 * c; return [(c + s * Math.cos(t) - 0.5) / 1.7, (c / 2 + s * Math.sin(t) - 0.25) / 1.5, c]; },
  circles: (r, i) => { const t = 2 * Math.PI * r(), c = i % 2, q = 0.85 * (1 - c / 2); return [q * Math.cos(t), q * Math.sin(t), c]; },
  xor: (r) => { const x = 1.8 * r() - 0.9, y = 1.8 * r() - 0.9; return [x, y, x * y < 0 ? 1 : 0]; },
  gauss: (r, i) => { const c = i % 2, n = () => (r() + r() + r() - 1.5) * 0.42; return [(c ? 0.45 : -0.45) + n(), (c ? 0.45 : -0.45) + n(), c]; },
  blobs: (r, i) => { const c = i % 4, n = () => (r() + r() + r() - 1.5) * 0.2; return [[-0.6, 0.55, -0.1, 0.6][c] + n(), [0.5, 0.6, -0.6, -0.2][c] + n(), c]; },
  quadrants: (r) => { const x = 1.8 * r() - 0.9, y = 1.8 * r() - 0.9; return [x, y, y < 0 ? (x < 0 ? 2 : 3) : x < 0 ? 1 : 0]; },
  prod: (r) => { const x = 1.8 * r() - 0.9, y = 1.8 * r() - 0.9; return [x, y, x * y]; },
  plane: (r) => { const x = 1.8 * r() - 0.9, y = 1.8 * r() - 0.9; return [x, y, (x + y) / 2]; },
};

/** @param {string} name @param {HTMLCanvasElement} canvas */
export function preview(name, canvas) {
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const next = random(7), make = POINTS[name], half = canvas.width / 2, numbers = name === "prod" || name === "plane";
  for (let i = 0; i < 150; i++) {
    const [x, y, value] = make(next, i);
    context.fillStyle = numbers ? colour(value > 0 ? 1 : 0, Math.min(1, 0.15 + 1.6 * Math.abs(value))) : colour(value);
    context.beginPath();
    context.arc(half + x * half * 0.92, half - y * half * 0.92, 1.7, 0, 7);
    context.fill();
  }
}
