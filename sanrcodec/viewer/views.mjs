// SPDX-License-Identifier: MIT
/**
 * @file Scene -> samples of a view (format_spec.md section 8). Must not change the scene.
 */
import { Dense } from "./dense.mjs";
import { hasSlopes, slopePlane } from "./header.mjs";
import { LANES } from "./planes.mjs";

const MAX_FEATURE = 32767;
const MAX_COLOR = 65534;
const MAX_ANGLE = 131071;
const LANE_BITS = Math.log2(LANES);
const LEAKY = { inBits: 12, outBits: 12, limit: MAX_FEATURE, isLeaky: true };
const LINEAR = { inBits: 12, outBits: 12, limit: MAX_FEATURE, isLeaky: false };

/**
 * Place of a view among the others (8.1).
 * @param {import("./scene.mjs").Scene} scene
 * @param {number} vq row of the view in 1/256
 * @param {number} uq column, likewise
 * @returns {{av: number, au: number, shiftY: number, shiftX: number, offset: number, gain: number}}
 */
export function poseOf({ header, viewWeights }, vq, uq) {
  const { n_v: nV, n_u: nU } = header;
  const corrections = [0, 0, 0, 0, 0, 0];
  if (header.per_view) {
    const v0 = Math.min(vq >> 8, Math.max(nV - 2, 0));
    const u0 = Math.min(uq >> 8, Math.max(nU - 2, 0));
    const fv = vq - 256 * v0;
    const fu = uq - 256 * u0;
    const sums = [0, 0, 0, 0, 0, 0];
    for (const [v, weightV] of [[v0, 256 - fv], [v0 + 1, fv]]) {
      for (const [u, weightU] of [[u0, 256 - fu], [u0 + 1, fu]]) {
        if (v >= nV || u >= nU) continue;
        for (let i = 0; i < 5; i++) {
          sums[i] += weightV * weightU * viewWeights.per_view[(v * nU + u) * 5 + i];
        }
        sums[5] += weightV * weightU * viewWeights.view_gain[v * nU + u];
      }
    }
    sums.forEach((sum, i) => (corrections[i] = Math.floor((sum + 2 ** 15) / 2 ** 16)));
  }
  let av = vq - 128 * (nV - 1);
  let au = uq - 128 * (nU - 1);
  if (header.transposed) [av, au] = [au, av];
  if (header.mirrored) au = -au;
  if (header.axes_reversed) [av, au] = [-av, -au];
  return {
    av: Math.max(-MAX_ANGLE, Math.min(MAX_ANGLE, av + corrections[0])),
    au: Math.max(-MAX_ANGLE, Math.min(MAX_ANGLE, au + corrections[1])),
    shiftY: corrections[2],
    shiftX: corrections[3],
    offset: 4 * corrections[4],
    gain: Math.max(0, Math.min(4095, 1024 + corrections[5])),
  };
}

/** Canvas position, Q5, of the first pixel of a view without parallax (8.2, 8.5). */
export function originOf(margin, shift, level) {
  return (32 * margin + shift + ((1 << level) >> 1)) >> level;
}

/** The two inputs of the view network that are the same in a whole view, Q12 (8.3). */
export function anglesOf(header, pose) {
  const span = Math.max(header.n_v - 1, header.n_u - 1, 1);
  return [pose.av, pose.au].map((a) =>
    Math.max(-8192, Math.min(8192, Math.floor((32 * a) / span))),
  );
}

/** What bias and angles add to the units of the view network's first layer. */
export function constantsOf({ header, viewWeights }, angles) {
  const weight = viewWeights["view.hidden0.weight"];
  const bias = viewWeights["view.hidden0.bias"];
  const nInputs = header.features + (header.spatial ? 4 : 2);
  return Int32Array.from(bias, (b, j) => {
    const at = j * nInputs + header.features;
    return b * 2 ** 9 + weight[at] * angles[0] + weight[at + 1] * angles[1];
  });
}

/** Factors of the color slopes along y and x, Q7 (8.2). */
export function slopeWeightsOf(header, pose) {
  return anglesOf(header, pose).map((angle) => (angle + 16) >> 5);
}

/** The input of the view network for a row or column of pixels, Q12 (8.3, 8.5). */
export function coordinateOf(pixel, size, level) {
  const value = Math.floor(((2 * pixel + 1) * 2 ** (12 + level)) / size) - 4096;
  return Math.max(-4096, Math.min(4095, value));
}

/**
 * Decode a region of a view.
 * @param {import("./scene.mjs").Scene} scene
 * @param {ReturnType<typeof poseOf>} pose
 * @param {[number, number, number, number]} region `[y0, y1, x0, x1]`, half open
 * @returns {Uint8Array | Uint16Array} samples `[y1 - y0, x1 - x0, channels]`
 */
export function renderView(scene, pose, [y0, y1, x0, x1]) {
  const { header } = scene;
  const n = x1 - x0;
  const Samples = header.bit_depth === 8 ? Uint8Array : Uint16Array;
  const samples = new Samples((y1 - y0) * n * header.channels);
  const network = header.view_depth > 0 ? new ViewNetwork(scene, pose, x0, x1) : null;
  const features = network ? network.inputs : new Float64Array(header.features * n);
  const colors = new Float64Array(header.channels * n);
  const sampler = header.layers > 0 ? new Sampler(scene, pose) : null;
  for (let y = y0; y < y1; y++) {
    if (sampler) sampler.row(y, x0, x1, features, n);
    else cutRow(scene, y, x0, x1, features, n);
    colors.set(features.subarray(0, colors.length));
    if (network) network.addTo(colors, y);
    if (pose.gain !== 1024) {
      for (let i = 0; i < colors.length; i++) {
        const color = Math.floor((colors[i] * pose.gain + 512) / 1024);
        colors[i] = Math.max(-MAX_COLOR, Math.min(MAX_COLOR, color));
      }
    }
    for (let i = 0; i < n; i++) colors[i] += pose.offset;
    toSamples(header, colors, n, samples, (y - y0) * n * header.channels);
  }
  return samples;
}

/** The view network (8.3) on rows of pixels. */
class ViewNetwork {
  constructor({ header, level, viewWeights }, pose, x0, x1) {
    this.n = x1 - x0;
    this.first = firstLayer(header, viewWeights);
    this.layers = [this.first];
    for (let i = 1; i < header.view_depth; i++) {
      this.layers.push(new Dense(viewWeights, `view.hidden${i}`, LEAKY));
    }
    this.layers.push(new Dense(viewWeights, "view.output", LINEAR));
    // Features lie within the limits of the inputs: every step so far keeps them there.
    this.inputs = new Float64Array(this.first.nInputRows * this.n);
    if (header.spatial) {
      const at = header.features * this.n;
      for (let x = x0; x < x1; x++) this.inputs[at + x - x0] = coordinateOf(x, header.width, level);
    }
    const nRows = Math.max(...this.layers.slice(1).map((layer) => layer.nInputRows));
    this.hidden = [0, 1].map(() => new Float64Array(nRows * this.n));
    this.output = new Float64Array(header.channels * this.n);
    this.sums = new Float64Array(2 * this.n);
    this.angles = anglesOf(header, pose);
    this.coordinateOfRow = (y) => (header.spatial ? coordinateOf(y, header.height, level) : 0);
  }

  /** Add the network's outputs for row `y`, whose features are in `inputs`. */
  addTo(colors, y) {
    const { first, angles, hidden, output, sums, n } = this;
    const row = this.coordinateOfRow(y);
    // What is the same in a whole row joins the bias: sums are exact in any order.
    first.bias = first.ownBias.map((bias, j) => {
      const [v, u, onRow] = first.constant[j];
      return bias + v * angles[0] + u * angles[1] + onRow * row;
    });
    let from = this.inputs;
    this.layers.forEach((layer, i) => {
      const to = i === this.layers.length - 1 ? output : hidden[i & 1];
      layer.apply(from, n, n, to, 0, sums);
      from = to;
    });
    for (let i = 0; i < colors.length; i++) colors[i] += output[i];
  }
}

/** The first hidden layer, split into what changes along a row and what does not. */
function firstLayer(header, viewWeights) {
  const weight = viewWeights["view.hidden0.weight"];
  const { features, spatial, view_hidden: nOutputs } = header;
  const nInputs = features + (spatial ? 4 : 2);
  const varying = [];
  const constant = [];
  for (let j = 0; j < nOutputs; j++) {
    const row = weight.subarray(j * nInputs, (j + 1) * nInputs);
    varying.push(...row.subarray(0, features), ...(spatial ? [row[features + 3]] : []));
    constant.push([row[features], row[features + 1], spatial ? row[features + 2] : 0]);
  }
  const layer = new Dense({
    "first.weight": Int32Array.from(varying), "first.bias": viewWeights["view.hidden0.bias"],
  }, "first", LEAKY);
  return Object.assign(layer, { constant, ownBias: layer.bias });
}

/** A row of features where there is no geometry. */
function cutRow({ header, level, columns, features }, y, x0, x1, out, stride) {
  const [top, left] = [header.margin_y, header.margin_x].map(
    (margin) => (2 * margin + (1 << level)) >> (level + 1),
  );
  features.forEach((plane, j) => {
    const at = (y + top) * columns + left;
    out.set(plane.subarray(at + x0, at + x1), j * stride);
  });
}

/** Colors -> samples of one row (8.4). */
function toSamples(header, colors, n, samples, at) {
  const peak = 2 ** header.bit_depth - 1;
  if (header.channels === 1) {
    for (let i = 0; i < n; i++) {
      const value = Math.floor((colors[i] * peak) / 4096 + 0.5);
      samples[at + i] = value < 0 ? 0 : value > peak ? peak : value;
    }
    return;
  }
  const unit = peak / 2 ** 24;
  for (let i = 0; i < n; i++) {
    const luma = 4096 * colors[i];
    const blue = colors[n + i];
    const red = colors[2 * n + i];
    const r = Math.floor((luma + 6450 * red) * unit + 0.5);
    const g = Math.floor((luma - 767 * blue - 1917 * red) * unit + 0.5);
    const b = Math.floor((luma + 7601 * blue) * unit + 0.5);
    samples[at++] = r < 0 ? 0 : r > peak ? peak : r;
    samples[at++] = g < 0 ? 0 : g > peak ? peak : g;
    samples[at++] = b < 0 ? 0 : b > peak ? peak : b;
  }
}

/**
 * What disparity one sees in a region of a view: that of the layer that covers more than half of
 * what is behind it. No part of the format.
 * @param {import("./scene.mjs").Scene} scene one with geometry
 * @param {ReturnType<typeof poseOf>} pose
 * @param {[number, number, number, number]} region `[y0, y1, x0, x1]`, half open
 * @returns {Int16Array} pixels per view, Q9, `[y1 - y0, x1 - x0]`
 */
export function renderDisparity(scene, pose, [y0, y1, x0, x1]) {
  const sampler = new Sampler(scene, pose);
  const out = new Int16Array((y1 - y0) * (x1 - x0));
  const last = scene.layers.length - 1;
  let to = 0;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      let i = 0;
      for (; ; i++) {
        sampler.find(i, y, x);
        if (i === last || sampler.sampleVisibility(i) >= 128) break;
      }
      out[to++] = sampler.disparity[i];
    }
  }
  return out;
}

/** Finds positions and composites layers (8.2), row by row. */
class Sampler {
  constructor({ header, level, rows, columns, layers }, pose) {
    Object.assign(this, { header, level, rows, columns, layers, pose });
    this.originY = originOf(header.margin_y, pose.shiftY, level);
    this.originX = originOf(header.margin_x, pose.shiftX, level);
    this.rowLength = 2 * columns * LANES;
    // Of each layer of a pixel: disparity, where its samples are, their weights, visibility.
    this.disparity = new Int16Array(layers.length);
    this.at = new Int32Array(layers.length);
    this.fy = new Int32Array(layers.length);
    this.fx = new Int32Array(layers.length);
    this.visibility = new Int32Array(layers.length);
    this.slopeWeights = hasSlopes(header) ? slopeWeightsOf(header, pose) : null;
    this.slopePlane = slopePlane(header);
  }

  /** Write the features of a row of pixels: `out[feature * stride + pixel]`. */
  row(y, x0, x1, out, stride) {
    const { layers, visibility } = this;
    const last = layers.length - 1;
    for (let x = x0; x < x1; x++) {
      // Front to back as far as one can see: what is behind full visibility adds nothing.
      let i = 0;
      for (; ; i++) {
        this.find(i, y, x);
        visibility[i] = i === last ? 256 : this.sampleVisibility(i);
        if (visibility[i] === 256) break; // replaces what is in `out`
      }
      for (; i >= 0; i--) {
        if (visibility[i] > 0) this.blend(i, out, stride, x - x0);
      }
    }
  }

  /** Find where a pixel sees a layer: the search for positions. */
  find(i, y, x) {
    const { rows, columns, pose, level } = this;
    const { disparity, nearest } = this.layers[i];
    const shift = 12 + level;
    const half = 1 << (shift - 1);
    const baseY = 32 * y + this.originY;
    const baseX = 32 * x + this.originX;
    let qy = baseY;
    let qx = baseX;
    let before = 0x10000; // no disparity
    for (let round = 0; round < 4; round++) {
      let row = (qy + 16) >> 5;
      let column = (qx + 16) >> 5;
      row = row < 0 ? 0 : row >= rows ? rows - 1 : row;
      column = column < 0 ? 0 : column >= columns ? columns - 1 : column;
      const k = row * columns + column;
      const d = round === 0 ? nearest[k] : disparity[k];
      if (d === before) break; // all further rounds find it again
      before = d;
      qy = baseY - ((Math.imul(pose.av, d) + half) >> shift);
      qx = baseX - ((Math.imul(pose.au, d) + half) >> shift);
    }
    const endY = 32 * (rows - 1);
    const endX = 32 * (columns - 1);
    qy = qy < 0 ? 0 : qy > endY ? endY : qy;
    qx = qx < 0 ? 0 : qx > endX ? endX : qx;
    this.disparity[i] = before;
    this.at[i] = (qy >> 4) * this.rowLength + (qx >> 4) * LANES;
    this.fy[i] = qy & 15;
    this.fx[i] = qx & 15;
  }

  sampleVisibility(i) {
    const { features } = this.header;
    const fy = this.fy[i];
    const fx = this.fx[i];
    const slice = this.layers[i].slices[features >> LANE_BITS];
    const k = this.at[i] + (features & (LANES - 1));
    const below = k + this.rowLength;
    const alpha = (
      (16 - fy) * ((16 - fx) * slice[k] + fx * slice[k + LANES])
      + fy * ((16 - fx) * slice[below] + fx * slice[below + LANES]) + 128
    ) >> 8;
    const m = (alpha + 8) >> 4;
    return m < 0 ? 0 : m > 256 ? 256 : m;
  }

  /** A color of the front layer, changed by the place of the view (8.2). */
  sloped(color, value, w00, w01, w10, w11) {
    const { rowLength, slopeWeights, slopePlane: first } = this;
    const { channels } = this.header;
    let change = 64;
    for (let axis = 0; axis < 2; axis++) {
      const plane = first + axis * channels + color;
      const slice = this.layers[0].slices[plane >> LANE_BITS];
      const k = this.at[0] + (plane & (LANES - 1));
      change += slopeWeights[axis] * ((
        w00 * slice[k] + w01 * slice[k + LANES]
        + w10 * slice[k + rowLength] + w11 * slice[k + rowLength + LANES] + 128
      ) >> 8);
    }
    return Math.max(-MAX_FEATURE, Math.min(MAX_FEATURE, value + (change >> 7)));
  }

  blend(i, out, stride, pixel) {
    const { features } = this.header;
    const { slices } = this.layers[i];
    const { rowLength } = this;
    const m = this.visibility[i];
    const fy = this.fy[i];
    const fx = this.fx[i];
    const w11 = fy * fx;
    const w10 = 16 * fy - w11;
    const w01 = 16 * fx - w11;
    const w00 = 256 - w10 - w01 - w11;
    const nSloped = i === 0 && this.slopeWeights !== null ? this.header.channels : 0;
    for (let j = 0, to = pixel; j < features; j++, to += stride) {
      const slice = slices[j >> LANE_BITS];
      const k = this.at[i] + (j & (LANES - 1));
      let near = (
        w00 * slice[k] + w01 * slice[k + LANES]
        + w10 * slice[k + rowLength] + w11 * slice[k + rowLength + LANES] + 128
      ) >> 8;
      if (j < nSloped) near = this.sloped(j, near, w00, w01, w10, w11);
      out[to] += (m * (near - out[to]) + 128) >> 8;
    }
  }
}
