// @ts-check
/** The activations of a layer as a strip of bars. */
import { colour } from "/colours.js";

/** @param {any} canvas @param {Float32Array} values @param {(canvas: HTMLCanvasElement) => [CanvasRenderingContext2D, number, number]} fitted */
export function drawBars(canvas, values, fitted) {
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
