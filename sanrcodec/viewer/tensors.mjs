// SPDX-License-Identifier: MIT
/**
 * @file Names, shapes and default values of the weight tensors (format_spec.md section 5.4).
 * Must not read a stream.
 */
import { codingOrder, hasSlopes, networkNames, networkOf } from "./header.mjs";

export const N_CONTEXTS = 17;

/**
 * All tensors of a file in coding order.
 * @param {Record<string, number>} header
 * @returns {{name: string, shape: number[], amplitude: number}[]} `amplitude` is column A of 5.4
 */
export function tensorList(header) {
  const list = [];
  const add = (name, shape, amplitude = 0) => list.push({ name, shape, amplitude });
  const addDense = (name, nInputs, nOutputs, amplitude) => {
    add(`${name}.weight`, [nOutputs, nInputs], amplitude);
    add(`${name}.bias`, [nOutputs]);
  };
  const addTrunk = (name, nPlanes, nHidden, nOutputs) => {
    if (header.attention) addDense(`${name}.attention`, nPlanes, nPlanes, 0);
    if (nHidden > 0) addDense(`${name}.hidden`, nPlanes, nHidden, 128);
    addDense(`${name}.output`, nPlanes + nHidden, nOutputs, 25);
  };
  const addArm = (name, nGrids) => {
    const nHidden = header.arm_hidden;
    add(`arm.${name}.hidden`, [4, nHidden, 2 * N_CONTEXTS], 32);
    add(`arm.${name}.hidden_bias`, [4, nHidden]);
    add(`arm.${name}.output`, [4, 2, nHidden], 12);
    add(`arm.${name}.shortcut`, [4, 2, 2 * N_CONTEXTS]);
    add(`arm.${name}.pass_bias`, [4, 2]);
    add(`arm.${name}.grid_bias`, [nGrids, 2]);
  };

  const { channels, features, layers } = header;
  addTrunk("texture", header.texture_levels, header.texture_hidden, features);
  if (header.color_filter) {
    add("color_filter.linear", [channels, features, 3, 3]);
    if (header.filter_hidden > 0) {
      add("color_filter.hidden.weight", [header.filter_hidden, features, 3, 3], 19);
      add("color_filter.hidden.bias", [header.filter_hidden]);
      add("color_filter.output", [channels, header.filter_hidden, 3, 3]);
    }
  }
  if (layers > 0) {
    addTrunk("geometry", header.geometry_levels, header.geometry_hidden, 2 * layers - 1);
  }
  if (hasSlopes(header)) addDense("slope.output", header.slope_levels, channels, 0);
  let nInputs = features + (header.spatial ? 4 : 2);
  for (let i = 0; i < header.view_depth; i++) {
    addDense(`view.hidden${i}`, nInputs, header.view_hidden, 64);
    nInputs = header.view_hidden;
  }
  if (header.view_depth > 0) addDense("view.output", nInputs, channels, 0);
  const grids = codingOrder(header);
  for (const name of networkNames(header)) {
    addArm(name, grids.filter((grid) => networkOf(grid) === name).length);
  }
  if (header.per_view) {
    add("per_view", [header.n_v * header.n_u, 5]);
    add("view_gain", [header.n_v * header.n_u, 1]);
  }
  return list;
}

/** Number of elements of a tensor. */
export function tensorSize(shape) {
  return shape.reduce((product, n) => product * n, 1);
}

/**
 * The default values of a tensor.
 * @param {Record<string, number>} header
 * @param {{name: string, shape: number[], amplitude: number}} tensor
 * @param {number} number among all tensors of the file, from 0
 * @param {Record<string, unknown>} table parsed default_weights.json
 * @returns {Int32Array} in C order
 */
export function defaultWeights(header, tensor, number, table) {
  const { name, shape } = tensor;
  const trained = table[name];
  const values = trained !== undefined && isWithin(shape, shapeOf(trained))
    ? Int32Array.from(leadingBlock(trained, shape).flat(Infinity))
    : untrained(tensor, number);
  const [trunk, layer, kind] = name.split(".");
  if (["texture", "geometry", "slope"].includes(trunk) && kind === "weight") {
    // The columns that meet latents follow the size of a latent's step; so do all of attention.
    const nLatents = header[`${trunk}_levels`];
    for (let i = 0; i < values.length; i++) {
      if (layer !== "output" || i % shape[1] < nLatents) {
        values[i] = (values[i] * header.gain + 8) >> 4;
      }
    }
  }
  return values;
}

function untrained({ name, shape, amplitude }, number) {
  const values = new Int32Array(tensorSize(shape));
  if (name.endsWith(".grid_bias")) {
    for (let i = 1; i < values.length; i += 2) values[i] = 512;
  } else if (amplitude > 0) {
    for (let j = 0; j < values.length; j++) {
      let i = (65536 * number + 1 + j) >>> 0;
      i = Math.imul(i ^ (i >>> 16), 0x7feb352d);
      i = Math.imul(i ^ (i >>> 16), 0x846ca68b);
      i = (i ^ (i >>> 15)) >>> 0;
      values[j] = Math.floor((i * (2 * amplitude + 1)) / 2 ** 32) - amplitude;
    }
  }
  return values;
}

function shapeOf(nested) {
  const shape = [];
  for (let inner = nested; Array.isArray(inner); [inner] = inner) shape.push(inner.length);
  return shape;
}

function isWithin(shape, outer) {
  return shape.length === outer.length && shape.every((n, i) => n <= outer[i]);
}

/** The first elements of nested arrays along every dimension. */
function leadingBlock(nested, [n, ...rest]) {
  const block = nested.slice(0, n);
  return rest.length > 0 ? block.map((inner) => leadingBlock(inner, rest)) : block;
}
