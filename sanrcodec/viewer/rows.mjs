// SPDX-License-Identifier: MIT
/**
 * @file Some rows of a mean of views, as threads make them. Must not know of the page.
 */
import { viewShape } from "./header.mjs";
import { Kernel } from "./kernel.mjs";
import { colorAt } from "./palette.mjs";
import { renderDisparity, renderView } from "./views.mjs";

const COLORS = Array.from({ length: 256 }, (_, i) => colorAt(i / 255));

/**
 * What makes rows of means of views of a scene: the fastest that works here.
 * @param {import("./scene.mjs").Scene} scene
 * @param {[number, number]} rows half open
 */
export function rowsOf(scene, rows) {
  return Kernel.of(scene, rows) ?? new PlainRows(scene, rows);
}

/** Sums of views without WebAssembly; the twin of Kernel. */
export class PlainRows {
  language = "JavaScript";

  constructor(scene, rows) {
    const [, width] = viewShape(scene.header, scene.level);
    Object.assign(this, { scene, region: [...rows, 0, width] });
    this.totals = new Uint32Array(4 * (rows[1] - rows[0]) * width);
  }

  add(pose, isFirst, withDisparity) {
    const { scene, region, totals } = this;
    const { channels } = scene.header;
    const samples = renderView(scene, pose, region);
    const isDeep = isFirst && withDisparity && scene.layers.length > 0;
    const disparity = isDeep ? renderDisparity(scene, pose, region) : null;
    if (isFirst) totals.fill(0);
    for (let i = 0, from = 0; from < samples.length; i++, from += channels) {
      const to = 4 * i;
      totals[to] += samples[from];
      totals[to + 1] += samples[channels === 1 ? from : from + 1];
      totals[to + 2] += samples[from + channels - 1];
      if (isFirst) totals[to + 3] = (disparity ? disparity[i] : 0) + 32768;
    }
  }

  sums() {
    return this.totals.slice();
  }

  pixels(nViews) {
    const { totals } = this;
    const unit = 255 / ((2 ** this.scene.header.bit_depth - 1) * nViews);
    const pixels = new Uint8ClampedArray(totals.length);
    for (let i = 0; i < totals.length; i += 4) {
      for (let c = 0; c < 3; c++) pixels[i + c] = totals[i + c] * unit; // rounded
      pixels[i + 3] = 255;
    }
    return pixels;
  }
}

/**
 * Lay disparities over pixels, as colors.
 * @param {Uint8ClampedArray} pixels RGBA
 * @param {Uint32Array} sums whose fourth numbers are disparities, plus 32768
 * @param {number} opacity
 * @param {[number, number]} range disparities shown as the first and last color
 */
export function overlayDepth(pixels, sums, opacity, [low, high]) {
  for (let i = 0; i < pixels.length; i += 4) {
    const at = (sums[i + 3] - 32768 - low) / (high - low);
    const color = COLORS[Math.round(Math.max(0, Math.min(1, at)) * 255)];
    for (let c = 0; c < 3; c++) pixels[i + c] += (color[c] - pixels[i + c]) * opacity;
  }
}
