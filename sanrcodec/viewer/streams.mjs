// SPDX-License-Identifier: MIT
/**
 * @file The two coded sections: weights and latents (format_spec.md sections 6.1 and 6.2).
 * Must not know what the scene makes of them.
 */
import { checkRowSums } from "./bounds.mjs";
import { N_SCALES, SymbolDecoder } from "./coder.mjs";
import { LimitError } from "./errors.mjs";
import { codingOrder, networkNames, networkOf, passes, SLOPE_GROUPS } from "./header.mjs";
import { defaultWeights, N_CONTEXTS, tensorList, tensorSize } from "./tensors.mjs";

const MAX_DIFFERENCE = 32767;
const MAX_SHIFT = 8;
const WIDTH_SCALE = 24;
const SHIFT_SCALE = 20;
const MAX_LATENT = 511;
const MAX_LATENTS_PER_BYTE = 2 ** 17; // a latent costs at least 1.1e-4 bits

const MAX_CONTEXT = 127;
const N_VALUES = 2 * MAX_CONTEXT + 1; // of a context
const PAD = 12; // the farthest neighbor: three halves of a stride of 8
// Neighbors in halves of a stride, and the kinds of passes in which they are known.
const NEIGHBORS = [
  [-1, -1, [1, 3]], [-1, 1, [1, 3]], [1, -1, [1, 3]], [1, 1, [1, 3]],
  [0, -1, [2, 3]], [0, 1, [2, 3]], [-1, 0, [2, 3]], [1, 0, [2, 3]],
  [0, -3, [2, 3]], [0, 3, [2, 3]], [-3, 0, [2, 3]], [3, 0, [2, 3]],
];
const N_NEIGHBORS = NEIGHBORS.length;

// 8 * log2(1 + n), rounded: half the binary digits of (1 + n)^16.
const MAGNITUDE_Q3 = Int32Array.from({ length: MAX_CONTEXT + 1 }, (_, n) =>
  Math.floor((BigInt(1 + n) ** 16n).toString(2).length / 2),
);

/**
 * Decode WEIGHTS.
 * @param {Record<string, number>} header
 * @param {Uint8Array} payload
 * @param {Record<string, unknown>} table parsed default_weights.json
 * @returns {Record<string, Int32Array>} tensors in C order, by name
 */
export function readWeights(header, payload, table) {
  const decoder = new SymbolDecoder(payload, "section WEIGHTS");
  const zero = new Int32Array(1);
  const one = new Int32Array(1);
  const read = (scale) => {
    decoder.call(zero, Uint8Array.of(scale), 1, one);
    return one[0];
  };
  const weights = {};
  let width = 0;
  let shift = 0;
  tensorList(header).forEach((tensor, number) => {
    const { name } = tensor;
    width += read(WIDTH_SCALE);
    if (width < 0 || width >= N_SCALES) throw decoder.corrupt(`tensor ${name} has width ${width}`);
    shift += read(SHIFT_SCALE);
    if (shift < 0 || shift > MAX_SHIFT) throw decoder.corrupt(`tensor ${name} has shift ${shift}`);
    const n = tensorSize(tensor.shape);
    const coded = new Int32Array(n);
    decoder.call(new Int32Array(n), new Uint8Array(n).fill(width), n, coded);
    const values = defaultWeights(header, tensor, number, table);
    for (let i = 0; i < n; i++) {
      const difference = coded[i] * 2 ** shift;
      if (Math.abs(difference) > MAX_DIFFERENCE) {
        throw decoder.corrupt(`tensor ${name} exceeds +-${MAX_DIFFERENCE}`);
      }
      values[i] += difference;
    }
    weights[name] = values;
  });
  decoder.finish();
  checkRowSums(header, weights);
  return weights;
}

/**
 * An entropy network. What a context adds to all sums is looked up, in one row for each value: it
 * meets its own clipped value and that value's magnitude, hence two weights of every unit.
 */
class Arm {
  constructor(weights, name, nHidden) {
    const tensor = (part) => weights[`arm.${name}.${part}`];
    this.nHidden = nHidden;
    this.rowLength = nHidden + 2 + (nHidden & 1); // even: sums are made in pairs
    this.gridBias = tensor("grid_bias");
    this.kinds = [0, 1, 2, 3].map((kind) => {
      const cut = (part, n) => tensor(part).subarray(kind * n, (kind + 1) * n);
      const nRow = 2 * N_CONTEXTS;
      const rows = [...cut("shortcut", 2 * nRow), ...cut("hidden", nHidden * nRow)];
      return {
        rows,
        hiddenBias: cut("hidden_bias", nHidden),
        output: Float64Array.from(cut("output", 2 * nHidden)),
        passBias: cut("pass_bias", 2),
        table: null,
      };
    });
  }

  /** Rows of sums: of each context and value, what it adds to both shortcuts and hidden units. */
  tableOf(kind) {
    const part = this.kinds[kind];
    if (part.table === null) {
      const nSums = this.nHidden + 2;
      part.table = new Int32Array(N_CONTEXTS * N_VALUES * this.rowLength);
      for (let k = 0; k < N_CONTEXTS; k++) {
        for (let value = -MAX_CONTEXT; value <= MAX_CONTEXT; value++) {
          const magnitude = MAGNITUDE_Q3[Math.abs(value)];
          const at = (k * N_VALUES + value + MAX_CONTEXT) * this.rowLength;
          for (let j = 0; j < nSums; j++) {
            const row = j * 2 * N_CONTEXTS;
            part.table[at + j] =
              8 * value * part.rows[row + k] + magnitude * part.rows[row + N_CONTEXTS + k];
          }
        }
      }
    }
    return part.table;
  }
}

/** A grid of decoded latents, and the same clipped as contexts, inside a border of zeros. */
class LatentGrid {
  constructor({ group, level, height, width }) {
    Object.assign(this, { group, level, height, width });
    this.stride = width + 2 * PAD;
    this.samples = new Int16Array(height * width);
    this.near = new Int8Array((height + 2 * PAD) * this.stride);
    this.origin = PAD * this.stride + PAD;
  }
}

/**
 * Decode LATENTS grid by grid, in coding order, as the caller asks for them.
 * @param {Record<string, number>} header
 * @param {Record<string, Int32Array>} weights
 * @param {Uint8Array} payload
 * @yields {{group: number, level: number, height: number, width: number, samples: Int16Array}}
 */
export function* readLatents(header, weights, payload) {
  const order = codingOrder(header);
  const claimed = order.reduce((sum, grid) => sum + grid.height * grid.width, 0);
  if (claimed > (payload.length + 8) * MAX_LATENTS_PER_BYTE) {
    throw new LimitError(`${claimed} latents in ${payload.length} bytes; the file is damaged`);
  }
  const decoder = new SymbolDecoder(payload, "section LATENTS");
  const arms = {};
  const nCoded = {};
  for (const name of networkNames(header)) {
    arms[name] = new Arm(weights, name, header.arm_hidden);
    nCoded[name] = 0;
  }
  const found = new Map();
  let previous = null;
  for (const place of order) {
    const grid = new LatentGrid(place);
    const references = [
      found.get(`${grid.group},${grid.level + 1}`),
      found.get(`${grid.group},${grid.level + 2}`),
      crossOf(grid, previous, found),
    ];
    const name = networkOf(grid);
    for (const pass of passes(grid.height, grid.width)) {
      readPass(decoder, arms[name], nCoded[name], grid, references, pass);
    }
    nCoded[name] += 1;
    found.set(`${grid.group},${grid.level}`, grid);
    previous = grid;
    yield grid;
  }
  decoder.finish();
}

/** The reference grid of the same level (5.2). */
function crossOf(grid, previous, found) {
  if (SLOPE_GROUPS.includes(grid.group)) return found.get(`0,${grid.level}`);
  return previous !== null && previous.level === grid.level ? previous : undefined;
}

/** Predict and decode the samples of one pass. */
function readPass(decoder, arm, gridNumber, grid, references, { kind, y0, x0, stride }) {
  const rows = Math.ceil((grid.height - y0) / stride);
  const columns = Math.ceil((grid.width - x0) / stride);
  const n = rows * columns;
  const locations = new Int32Array(n);
  const scales = new Uint8Array(n);
  predict(arm, gridNumber, grid, references, { kind, y0, x0, stride }, locations, scales);
  const values = new Int32Array(n);
  decoder.call(locations, scales, n, values);
  let i = 0;
  for (let y = y0; y < grid.height; y += stride) {
    for (let x = x0; x < grid.width; x += stride, i++) {
      const value = values[i];
      if (value > MAX_LATENT || value < -MAX_LATENT) {
        throw decoder.corrupt(`a latent is ${value}, allowed are +-${MAX_LATENT}`);
      }
      grid.samples[y * grid.width + x] = value;
      grid.near[grid.origin + y * grid.stride + x] =
        Math.max(-MAX_CONTEXT, Math.min(MAX_CONTEXT, value));
    }
  }
}

/** Locations and scales of a pass (6.2). */
function predict(arm, gridNumber, grid, references, pass, locations, scales) {
  const { kind, y0, x0, stride } = pass;
  const [parent, grandparent, cross] = references;
  const { nHidden, rowLength } = arm;
  const { hiddenBias, output, passBias } = arm.kinds[kind];
  const table = arm.tableOf(kind);
  const bias = [0, 1].map((m) => (passBias[m] + arm.gridBias[2 * gridNumber + m]) * 64);
  const start = new Int32Array(rowLength);
  for (let j = 0; j < nHidden; j++) start[2 + j] = hiddenBias[j] * 8 + 8; // 8: rounding

  // Known neighbors: where they are, and where the row of their value 0 is.
  const offsets = [];
  const zeros = [];
  const rowOf = (k) => (k * N_VALUES + MAX_CONTEXT) * rowLength;
  NEIGHBORS.forEach(([dy, dx, kinds], k) => {
    if (!kinds.includes(kind)) return;
    offsets.push(((dy * grid.stride + dx) * stride) / 2);
    zeros.push(rowOf(k));
  });
  const [parentRow, upRow, sideRow, grandparentRow, crossRow] = [0, 1, 2, 3, 4].map((k) =>
    rowOf(N_NEIGHBORS + k),
  );
  const { near } = grid;

  // Rows of the contexts that are not 0: those of 0 add nothing.
  const rows = new Int32Array(N_CONTEXTS);
  const network = { nHidden, rowLength, table, start, output, bias };
  // Most samples of a sparse grid have contexts of 0 alone.
  weigh(network, rows, 0, locations, scales, 0);
  const plainLocation = locations[0];
  const plainScale = scales[0];

  let i = 0;
  for (let y = y0; y < grid.height; y += stride) {
    let parentAt = 0;
    let upAt = 0;
    if (parent) {
      const other = Math.max(0, Math.min(parent.height - 1, (y >> 1) + 2 * (y & 1) - 1));
      parentAt = parent.origin + (y >> 1) * parent.stride;
      upAt = parent.origin + other * parent.stride;
    }
    const grandparentAt = grandparent ? grandparent.origin + (y >> 2) * grandparent.stride : 0;
    const crossAt = cross ? cross.origin + y * cross.stride : 0;
    const at = grid.origin + y * grid.stride;
    for (let x = x0; x < grid.width; x += stride, i++) {
      let n = 0;
      for (let k = 0; k < offsets.length; k++) {
        const value = near[at + x + offsets[k]];
        if (value !== 0) rows[n++] = zeros[k] + value * rowLength;
      }
      if (parent) {
        const half = x >> 1;
        const other = Math.max(0, Math.min(parent.width - 1, half + 2 * (x & 1) - 1));
        const value = parent.near[parentAt + half];
        if (value !== 0) rows[n++] = parentRow + value * rowLength;
        const up = parent.near[upAt + half];
        if (up !== 0) rows[n++] = upRow + up * rowLength;
        const side = parent.near[parentAt + other];
        if (side !== 0) rows[n++] = sideRow + side * rowLength;
      }
      if (grandparent) {
        const value = grandparent.near[grandparentAt + (x >> 2)];
        if (value !== 0) rows[n++] = grandparentRow + value * rowLength;
      }
      if (cross) {
        const value = cross.near[crossAt + x];
        if (value !== 0) rows[n++] = crossRow + value * rowLength;
      }
      if (n > 0) {
        weigh(network, rows, n, locations, scales, i);
      } else {
        locations[i] = plainLocation;
        scales[i] = plainScale;
      }
    }
  }
}

/** Location and scale of one sample, from the rows of its contexts. */
function weigh(network, rows, n, locations, scales, i) {
  const { nHidden, rowLength, table, start, output, bias } = network;
  let location = bias[0];
  let scale = bias[1];
  for (let j = 0; j < rowLength; j += 2) {
    let even = start[j];
    let odd = start[j + 1];
    for (let r = 0; r < n; r++) {
      const at = rows[r] + j;
      even = (even + table[at]) | 0;
      odd = (odd + table[at + 1]) | 0;
    }
    if (j === 0) {
      location += even * 8;
      scale += odd * 8;
      continue;
    }
    even = Math.min(even >> 4, 4095);
    odd = Math.min(odd >> 4, 4095);
    if (even > 0) {
      location += output[j - 2] * even;
      scale += output[nHidden + j - 2] * even;
    }
    if (odd > 0) {
      location += output[j - 1] * odd;
      scale += output[nHidden + j - 1] * odd;
    }
  }
  locations[i] = Math.max(-4088, Math.min(4088, Math.floor((location + 512) / 1024)));
  scales[i] = Math.max(0, Math.min(39, Math.floor((scale + 1024) / 2048)));
}
