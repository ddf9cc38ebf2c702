// SPDX-License-Identifier: MIT
/**
 * @file Latents and weights -> the canonical scene (format_spec.md sections 7 and 8.5).
 * Must not know of views. A scene is plain data, which threads can hand to each other.
 */
import { Dense, finishRow } from "./dense.mjs";
import { LimitError } from "./errors.mjs";
import {
  ceilShift, GEOMETRY_GROUP, hasSlopes, levelShape, nSlopes, nTextures, SLOPE_GROUPS, slopePlane,
} from "./header.mjs";
import {
  blockMeans, doublePlane, halfSamples, LANES, minimumAround, smoothPlane,
} from "./planes.mjs";

const BLOCK_PIXELS = 256; // whose rows of all units fit a cache
const MAX_FEATURE = 32767;
const MAX_HIDDEN = 65535;
const MAX_LATENT = 511;

/**
 * @typedef {object} Scene
 * @property {Record<string, number>} header
 * @property {number} level views are smaller by `2^level`
 * @property {number} rows of the canvas
 * @property {number} columns of the canvas
 * @property {Record<string, Int32Array>} viewWeights tensors that views need
 * @property {{slices: Int16Array[], disparity: Int16Array, nearest: Int16Array}[]} layers front to
 *   back: half samples `[2 * rows, 2 * columns, 8]`, lane `features` of them visibility, then in
 *   front the slopes; and disparities `[rows, columns]`
 * @property {Int16Array[]} features planes `[rows, columns]`, where there is no geometry
 */

/** The finest level of grids that a scene is made from (8.5). */
export function finestLevel(level) {
  return level >> 1;
}

/** Slices of lanes that a layer's textures have, those of the front layer with its slopes. */
export function nSlices(header) {
  return Math.ceil((slopePlane(header) + nSlopes(header)) / LANES);
}

/** Slices that all layers use. */
export function nSharedSlices(header) {
  return Math.ceil(slopePlane(header) / LANES);
}

/** Bytes that a scene takes while it is made. */
function sceneBytes(header, level) {
  const [rows, columns] = levelShape(header, level);
  const nLanes = LANES * Math.ceil((header.features + 1 + nSlopes(header)) / LANES);
  const perLayer = header.layers > 0 ? 8 * nLanes + 4 : 0;
  const perPixel = 2 * (header.features + header.filter_hidden);
  const nLevels = Math.max(header.texture_levels, header.geometry_levels, header.slope_levels);
  const nPlanes = 2 * nLevels + 2;
  return rows * columns * (nTextures(header) * (perLayer + perPixel) + 4 * nPlanes);
}

/**
 * Build the scene of a level.
 * @param {Record<string, number>} header
 * @param {Record<string, Int32Array>} weights
 * @param {object[]} grids decoded latents, at least down to `finestLevel(level)`
 * @param {number} level 0..3
 * @param {number} maxBytes limit of this decoder
 * @returns {Scene}
 */
export function buildScene(header, weights, grids, level, maxBytes) {
  const nBytes = sceneBytes(header, level);
  if (nBytes > maxBytes) {
    throw new LimitError(`the scene needs ${nBytes} bytes, this decoder takes ${maxBytes}`);
  }
  const [rows, columns] = levelShape(header, level);
  const viewWeights = Object.fromEntries(
    Object.entries(weights).filter(([name]) => /^(view[._]|per_view)/.test(name)),
  );
  const scene = { header, level, rows, columns, viewWeights, layers: [], features: [] };
  const used = grids.filter((grid) => grid.level >= finestLevel(level));
  const textures = runTextures(header, weights, used, level);
  if (header.layers === 0) {
    scene.features = textures[0];
    return scene;
  }
  const runPart = (name, group) => {
    const planes = new Map();
    for (const grid of used) {
      if (grid.group === group) planes.set(grid.level, upsample(header, grid, level));
    }
    const [first, nLevels] = [header[`${name}_first`], header[`${name}_levels`]];
    return runTrunk(header, weights, name, planes, first, nLevels, level);
  };
  const outputs = runPart("geometry", GEOMETRY_GROUP);
  const slopes = hasSlopes(header)
    ? SLOPE_GROUPS.flatMap((group) => runPart("slope", group)) : [];
  const reachY = ceilShift(header.margin_y, level);
  const reachX = ceilShift(header.margin_x, level);
  // 32 bits hold the product of a disparity and a view's position.
  const most = Math.max(header.n_v, header.n_u) <= 256 ? 32767 : 16383;
  for (let i = 0; i < header.layers; i++) {
    outputs[i] = outputs[i].map((value) => Math.max(-most, Math.min(most, value)));
    const lanes = textures[i];
    if (i < header.layers - 1) {
      const alpha = outputs[header.layers + i];
      lanes.push(alpha.map((value) => Math.max(0, Math.min(4096, value + 2048))));
    }
    if (i === 0) lanes.push(...slopes);
    scene.layers.push({
      slices: halfSamples(lanes, rows, columns),
      disparity: outputs[i],
      nearest: minimumAround(outputs[i], rows, columns, reachY, reachX),
    });
    textures[i] = null;
  }
  return scene;
}

/** Feature planes of every layer, front to back. */
function runTextures(header, weights, grids, level) {
  const sums = new Map(); // latents by level, after those of the layers in front
  const planes = new Map();
  const textures = [];
  for (let group = 0; group < nTextures(header); group++) {
    for (const grid of grids) {
      if (grid.group !== group) continue;
      const { height, width } = grid;
      const front = sums.get(grid.level);
      const samples = front ? addClipped(front.samples, grid.samples) : grid.samples;
      const sum = { level: grid.level, height, width, samples };
      sums.set(grid.level, sum);
      planes.set(grid.level, upsample(header, sum, level));
    }
    const n = header.texture_levels;
    const features = runTrunk(header, weights, "texture", planes, 0, n, level);
    if (header.color_filter) correctColors(header, weights, features, level);
    textures.push(features);
  }
  return textures;
}

function addClipped(a, b) {
  return a.map((value, i) => Math.max(-MAX_LATENT, Math.min(MAX_LATENT, value + b[i])));
}

/** Bring a grid to the canvas of a level: Int32Array, Q7 (7.2, 8.5). */
function upsample(header, grid, level) {
  const [rows, columns] = levelShape(header, level);
  if (grid.level < level) {
    return blockMeans(grid.samples, grid.height, grid.width, level - grid.level, rows, columns);
  }
  let { height, width } = grid;
  let plane = new Int32Array(grid.samples.length);
  for (let i = 0; i < plane.length; i++) plane[i] = grid.samples[i] << 7;
  for (let finer = grid.level - 1; finer >= level; finer--) {
    const [outHeight, outWidth] = levelShape(header, finer);
    plane = doublePlane(plane, height, width, outHeight, outWidth);
    [height, width] = [outHeight, outWidth];
  }
  return level > 0 ? smoothPlane(plane, height, width) : plane;
}

/**
 * Run a trunk on planes by level; those that are missing are 0 (7.3, 8.5).
 * @returns {Int16Array[]} its outputs, each `[rows, columns]`
 */
function runTrunk(header, weights, name, planes, first, nLevels, level) {
  const [rows, columns] = levelShape(header, level);
  const nPixels = rows * columns;
  const leaky = { inBits: 11, outBits: 11, limit: MAX_HIDDEN, isLeaky: true };
  const linear = { inBits: 11, outBits: 12, limit: MAX_FEATURE, isLeaky: false };
  const gates = { inBits: 11, outBits: 8, limit: 256, isLeaky: false };
  const dense = (layer, format) =>
    weights[`${name}.${layer}.weight`] ? new Dense(weights, `${name}.${layer}`, format) : null;
  const attention = dense("attention", gates);
  const hidden = dense("hidden", leaky);
  const output = new Dense(weights, `${name}.output`, linear);
  const outputs = Array.from({ length: output.nOutputs }, () => new Int16Array(nPixels));

  const stride = BLOCK_PIXELS;
  const inputs = new Float64Array(output.nInputRows * stride);
  const gate = new Float64Array(nLevels * stride);
  const results = new Float64Array(output.nOutputs * stride);
  const sums = new Float64Array(2 * stride);
  for (let start = 0; start < nPixels; start += stride) {
    const n = Math.min(stride, nPixels - start);
    for (let k = 0; k < nLevels; k++) {
      const plane = planes.get(first + nLevels - 1 - k); // the coarsest comes first
      if (plane === undefined) inputs.fill(0, k * stride, k * stride + n);
      else inputs.set(plane.subarray(start, start + n), k * stride);
    }
    if (attention) {
      attention.apply(inputs, stride, n, gate, 0, sums);
      for (let k = 0; k < nLevels; k++) {
        for (let i = k * stride; i < k * stride + n; i++) {
          const weight = gate[i] >= 0 ? 256 : gate[i] + 256;
          inputs[i] = Math.floor(inputs[i] * weight * 2 ** -8 + 0.5);
        }
      }
    }
    if (hidden) hidden.apply(inputs, stride, n, inputs, nLevels, sums);
    output.apply(inputs, stride, n, results, 0, sums);
    outputs.forEach((plane, j) => {
      plane.set(results.subarray(j * stride, j * stride + n), start);
    });
  }
  return outputs;
}

/** Correct the color planes by all planes and their neighbors, in place (7.3, 8.5). */
function correctColors(header, weights, planes, level) {
  const [rows, columns] = levelShape(header, level);
  const { channels } = header;
  const sums = new Float64Array(2 * columns);
  const layer = (name, inputs) => new NearSums(weights[name], inputs, rows, columns, level);
  const newPlanes = (n) => Array.from({ length: n }, () => new Int16Array(rows * columns));
  // Outputs are made in pairs: both use what is loaded.
  const run = (layers, bias, isLeaky, outputs) => {
    for (let y = 0; y < rows; y++) {
      for (const part of layers) part.load(y);
      for (let c = 0; c < outputs.length; c += 2) {
        sums.fill(bias(c), 0, columns);
        sums.fill(bias(c + 1), columns);
        for (const part of layers) part.addPair(c, sums);
        outputs.slice(c, c + 2).forEach((plane, i) => {
          finishRow(sums, i * columns, columns, 7, MAX_FEATURE, isLeaky, plane, y * columns);
        });
      }
    }
  };
  const parts = [layer("color_filter.linear", planes)];
  if (header.filter_hidden > 0) {
    const hidden = newPlanes(header.filter_hidden);
    const biases = weights["color_filter.hidden.bias"];
    const bias = (h) => (h < biases.length ? biases[h] * 2 ** 9 : 0);
    run([layer("color_filter.hidden.weight", planes)], bias, true, hidden);
    parts.push(layer("color_filter.output", hidden));
  }
  const corrections = newPlanes(channels);
  run(parts, () => 0, false, corrections);
  corrections.forEach((plane, c) => {
    const color = planes[c];
    for (let i = 0; i < plane.length; i++) {
      color[i] = Math.max(-MAX_FEATURE, Math.min(MAX_FEATURE, color[i] + plane[i]));
    }
  });
}

/** Row by row, sums over the 3 x 3 pixels around; of smaller views, over the pixel itself. */
class NearSums {
  constructor(weight, planes, rows, columns, level) {
    Object.assign(this, { planes, rows, columns });
    this.isWide = level === 0;
    this.nTaps = this.isWide ? 9 : 1;
    // Zeros for a partner of the last of an odd number of outputs.
    this.weight = new Float64Array((weight.length * this.nTaps) / 9 + planes.length * this.nTaps);
    weight.forEach((w, i) => (this.weight[Math.floor((i * this.nTaps) / 9)] += w));
    this.stride = columns + (this.isWide ? 2 : 0);
    this.buffer = new Float64Array(planes.length * (this.isWide ? 3 : 1) * this.stride);
  }

  /** Make ready for a row of pixels. */
  load(y) {
    const { planes, rows, columns, stride, buffer } = this;
    planes.forEach((plane, j) => {
      if (!this.isWide) {
        buffer.set(plane.subarray(y * columns, (y + 1) * columns), j * stride);
        return;
      }
      for (let a = 0; a < 3; a++) {
        const row = Math.max(0, Math.min(rows - 1, y + a - 1)) * columns;
        const at = (3 * j + a) * stride;
        buffer[at] = plane[row];
        buffer.set(plane.subarray(row, row + columns), at + 1);
        buffer[at + columns + 1] = plane[row + columns - 1];
      }
    });
  }

  /** Add what the outputs `c` and `c + 1` weigh to the sums, one row after the other. */
  addPair(c, sums) {
    const { planes, columns, stride, buffer, weight, nTaps } = this;
    for (let j = 0; j < planes.length; j++) {
      const from = (c * planes.length + j) * nTaps;
      const next = from + planes.length * nTaps;
      if (this.isWide) {
        addNine(sums, columns, buffer, 3 * j * stride, stride, weight, from, next);
      } else {
        for (let x = 0; x < columns; x++) {
          sums[x] += weight[from] * buffer[j * stride + x];
          sums[columns + x] += weight[next] * buffer[j * stride + x];
        }
      }
    }
  }
}

/** Add the products of nine weights, of two outputs, and the pixels around `x` in three rows. */
function addNine(sums, n, buffer, at, stride, weight, from, next) {
  const [v0, v1, v2, v3, v4, v5, v6, v7, v8] = weight.subarray(from, from + 9);
  const [w0, w1, w2, w3, w4, w5, w6, w7, w8] = weight.subarray(next, next + 9);
  const below = at + stride;
  const last = below + stride;
  let a0 = buffer[at];
  let a1 = buffer[at + 1];
  let b0 = buffer[below];
  let b1 = buffer[below + 1];
  let c0 = buffer[last];
  let c1 = buffer[last + 1];
  for (let x = 0; x < n; x++) {
    const a2 = buffer[at + x + 2];
    const b2 = buffer[below + x + 2];
    const c2 = buffer[last + x + 2];
    sums[x] +=
      v0 * a0 + v1 * a1 + v2 * a2 + v3 * b0 + v4 * b1 + v5 * b2 + v6 * c0 + v7 * c1 + v8 * c2;
    sums[n + x] +=
      w0 * a0 + w1 * a1 + w2 * a2 + w3 * b0 + w4 * b1 + w5 * b2 + w6 * c0 + w7 * c1 + w8 * c2;
    a0 = a1;
    a1 = a2;
    b0 = b1;
    b1 = b2;
    c0 = c1;
    c1 = c2;
  }
}
