// SPDX-License-Identifier: MIT
/**
 * @file Rows of views by WebAssembly: the samples of views.mjs, several times as fast.
 * Must not know how a scene is decoded, nor of the page.
 */
import { hasSlopes, slopePlane, viewShape } from "./header.mjs";
import { LANES } from "./planes.mjs";
import { nSharedSlices, nSlices } from "./scene.mjs";
import { VIEW_ROWS } from "./view_rows.mjs";
import { anglesOf, constantsOf, coordinateOf, originOf, slopeWeightsOf } from "./views.mjs";

const MAX_LAYERS = 4;
const MAX_DENSE = 5;
const MAX_WEIGHT = 32767; // of 16 bits; the format allows a little more
const MAX_BYTES = 2 ** 31 - 2 ** 20;
const PAGE_BYTES = 65536;
const ALIGNMENT = 16;
const VECTOR = 8; // numbers of 16 bits
const N_FACTS = 15; // integers of `job` before those of a view

/** Sums of views, row by row. */
export class Kernel {
  language = "WebAssembly";

  /**
   * @param {import("./scene.mjs").Scene} scene
   * @param {[number, number]} rows of the views, half open, of which it makes sums
   * @returns {Kernel | null} null where the browser or the scene asks for the slower way
   */
  static of(scene, rows) {
    const isFitting = Object.entries(scene.viewWeights).every(
      ([name, values]) =>
        !name.startsWith("view.") || name.endsWith(".bias") ||
        values.every((value) => Math.abs(value) <= MAX_WEIGHT),
    );
    if (typeof WebAssembly === "undefined" || !isFitting) return null;
    if (bytesOf(scene, rows) > MAX_BYTES) return null;
    try {
      return new Kernel(scene, rows);
    } catch (error) {
      // No vector instructions, WebAssembly turned off, or no memory for another copy.
      if (error instanceof RangeError || error instanceof WebAssembly.CompileError) return null;
      throw error;
    }
  }

  constructor(scene, rows) {
    const binary = Uint8Array.from(atob(VIEW_ROWS), (c) => c.charCodeAt(0));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(binary));
    const { memory, job, heap, addRows, toPixels } = instance.exports;
    Object.assign(this, { scene, rows, memory, addRows, toPixels });
    const [, width] = viewShape(scene.header, scene.level);
    this.width = width;
    this.nPixels = (rows[1] - rows[0]) * width;
    this.next = heap();
    memory.grow(Math.ceil(bytesOf(scene, rows) / PAGE_BYTES));
    this.job = new Int32Array(memory.buffer, job());
    this.place();
    // The planes are copied: this thread needs no others.
    const { header, level, viewWeights } = scene;
    this.scene = { header, level, viewWeights };
  }

  /** Copy the scene, and say where. */
  place() {
    const { scene, job, width } = this;
    const { header, level, rows, columns } = scene;
    const { features, layers, channels } = header;
    const [count, nShared] = [nSlices(header), nSharedSlices(header)];
    const dense = denseOf(scene);
    job.set([
      rows, columns, level, header.height, header.width, layers, channels, features, nShared,
      count - nShared, slopePlane(header), hasSlopes(header) ? 1 : 0, dense.length,
      header.spatial, 2 ** header.bit_depth - 1,
    ]);
    let at = N_FACTS + 8;
    const planes = layers > 0 ? scene.layers : [{ slices: interleaved(scene, nShared) }];
    planes.forEach((layer, i) => {
      const n = i === 0 ? count : nShared;
      const addresses = layer.slices.slice(0, n).map((slice) => this.copy(slice));
      job[at + 3 * i] = addresses[0];
      if (layer.nearest) {
        job[at + 3 * i + 1] = this.copy(layer.nearest);
        job[at + 3 * i + 2] = this.copy(layer.disparity);
      }
    });
    at += 3 * MAX_LAYERS;
    this.constants = null;
    dense.forEach(({ weights, constants, nInputs, nOutputs }, i) => {
      const address = this.copy(weights);
      const place = this.copy(constants);
      if (i === 0) this.constants = new Int32Array(this.memory.buffer, place, constants.length);
      job.set([address, place, nInputs, nOutputs], at + 4 * i);
    });
    at += 4 * MAX_DENSE;
    if (dense.length > 0) {
      job[at] = this.copy(dense[0].constants);
      job[at + 1] = this.copy(dense[0].ofRow);
    }
    const coordinates = Int16Array.from(
      { length: width }, (_, x) => coordinateOf(x, header.width, level),
    );
    job[at + 2] = this.copy(coordinates);
    job[at + 3] = this.take(ALIGNMENT * (width + 4));
    this.sumsAt = this.take(ALIGNMENT * this.nPixels);
    this.pixelsAt = this.take(4 * this.nPixels);
  }

  /** Room for some bytes. */
  take(nBytes) {
    const at = Math.ceil(this.next / ALIGNMENT) * ALIGNMENT;
    this.next = at + nBytes;
    return at;
  }

  copy(array) {
    const at = this.take(array.byteLength);
    new array.constructor(this.memory.buffer, at, array.length).set(array);
    return at;
  }

  /** Add a view to the sums; the first begins them. */
  add(pose, isFirst) {
    const { rows, width } = this;
    this.setPose(pose);
    this.addRows(...rows, width, 1, this.sumsAt, isFirst ? 1 : 0);
  }

  /**
   * Every other pixel of every other row, in a quarter of the time, instead of the sums so far.
   * @returns {{pixels: Uint8ClampedArray, rows: [number, number]}} its rows among those of the
   *   rough view
   */
  rough(pose) {
    const [y0, y1, width] = [...this.rows, this.width].map((n) => Math.ceil(n / 2));
    this.setPose(pose);
    this.addRows(y0, y1, width, 2, this.sumsAt, 1);
    return { pixels: this.means(1, (y1 - y0) * width), rows: [y0, y1] };
  }

  /** Set what a view needs. */
  setPose(pose) {
    const { scene, job } = this;
    const { header, level } = scene;
    const margins = [header.margin_y, header.margin_x];
    const shifts = [pose.shiftY, pose.shiftX];
    const origin = margins.map((margin, i) =>
      header.layers > 0
        ? originOf(margin, shifts[i], level)
        : (2 * margin + (1 << level)) >> (level + 1),
    );
    const slopes = hasSlopes(header) ? slopeWeightsOf(header, pose) : [0, 0];
    job.set([pose.av, pose.au, ...origin, pose.gain, pose.offset, ...slopes], N_FACTS);
    if (this.constants) this.constants.set(constantsOf(scene, anglesOf(header, pose)));
  }

  /** The sums: Uint32Array `[rows, width, 4]`, disparity + 32768 last. */
  sums() {
    return new Uint32Array(this.memory.buffer, this.sumsAt, 4 * this.nPixels).slice();
  }

  /** Means of `nViews` views: Uint8ClampedArray `[rows, width, 4]`, RGBA. */
  pixels(nViews) {
    return this.means(nViews, this.nPixels);
  }

  means(nViews, n) {
    const peak = 2 ** this.scene.header.bit_depth - 1;
    this.toPixels(this.sumsAt, this.pixelsAt, n, 255 / (peak * nViews));
    return new Uint8ClampedArray(this.memory.buffer, this.pixelsAt, 4 * n).slice();
  }
}

/** Bytes that a kernel takes, and some more. */
function bytesOf(scene, [y0, y1]) {
  const { header, rows, columns, layers, features } = scene;
  const [, width] = viewShape(header, scene.level);
  const nBytes = layers
    .flatMap(({ slices, nearest, disparity }) => [...slices, nearest, disparity])
    .reduce((n, array) => n + array.byteLength, 0);
  const nPlain = layers.length > 0 ? 0 : 2 * LANES * Math.ceil(features.length / LANES);
  return nBytes + nPlain * rows * columns + 20 * (y1 - y0) * width + 64 * width + 2 ** 20;
}

/** Feature planes as slices of lanes. */
function interleaved({ features, rows, columns }, nSlices) {
  return Array.from({ length: nSlices }, (_, s) => {
    const slice = new Int16Array(rows * columns * LANES);
    features.slice(s * LANES, (s + 1) * LANES).forEach((plane, lane) => {
      for (let i = 0, to = lane; i < plane.length; i++, to += LANES) slice[to] = plane[i];
    });
    return slice;
  });
}

/** The layers of the view network as the kernel wants them. */
function denseOf({ header, viewWeights }) {
  const { features, spatial, view_depth: depth, view_hidden: nHidden, channels } = header;
  const dense = [];
  for (let i = 0; i <= depth && depth > 0; i++) {
    const name = i === depth ? "view.output" : `view.hidden${i}`;
    const weight = viewWeights[`${name}.weight`];
    const bias = viewWeights[`${name}.bias`];
    const nRow = weight.length / bias.length;
    // What varies from pixel to pixel: features and, beside them, the column.
    const ofColumn = spatial ? [features + 3] : [];
    const varying = i > 0 ? [...Array(nHidden).keys()] : [...Array(features).keys(), ...ofColumn];
    const nInputs = Math.ceil(varying.length / VECTOR);
    const nOutputs = i === depth ? 1 : 2 * Math.ceil(nHidden / VECTOR);
    const weights = new Int16Array(nInputs * nOutputs * 4 * VECTOR);
    const constants = new Int32Array(4 * nOutputs);
    const ofRow = new Int32Array(4 * nOutputs);
    bias.forEach((b, j) => {
      constants[j] = b * 2 ** 9;
      if (i === 0 && spatial) ofRow[j] = weight[j * nRow + features + 2];
      varying.forEach((from, k) => {
        // Pairs of inputs; each has the weights of four outputs.
        const pair = (j >> 2) * nInputs * 4 + (k >> 1);
        weights[pair * VECTOR + 2 * (j & 3) + (k & 1)] = weight[j * nRow + from];
      });
    });
    dense.push({ weights, constants, ofRow, nInputs, nOutputs });
  }
  return dense;
}
