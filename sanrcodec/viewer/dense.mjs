// SPDX-License-Identifier: MIT
/**
 * @file Integer sums of products on rows of pixels, carried by doubles (format_spec.md 7.1).
 * Must not round but where the format does: all sums stay below 2^53 (section 7.4).
 *
 * A buffer holds one row of pixels after the other, `stride` values apart, one row per unit.
 */

const N_AT_ONCE = 8; // inputs

/**
 * `clip(rshift(sums, shift), -limit, limit)` of one row, then leaky if asked for.
 * @param {Float64Array} sums
 * @param {number} from where the row begins in `sums`
 * @param {number} n pixels
 * @param {number} shift
 * @param {number} limit
 * @param {boolean} isLeaky
 * @param {Float64Array | Int16Array} out
 * @param {number} at where the row begins in `out`
 */
export function finishRow(sums, from, n, shift, limit, isLeaky, out, at) {
  const unit = 2 ** -shift;
  for (let p = 0; p < n; p++) {
    let y = Math.floor(sums[from + p] * unit + 0.5);
    y = y > limit ? limit : y < -limit ? -limit : y;
    out[at + p] = isLeaky && y < 0 ? Math.floor(y * 0.125) : y;
  }
}

/** A dense layer (7.1). */
export class Dense {
  /**
   * @param {Record<string, Int32Array>} weights
   * @param {string} name
   * @param {{inBits: number, outBits: number, limit: number, isLeaky: boolean}} format
   */
  constructor(weights, name, { inBits, outBits, limit, isLeaky }) {
    const weight = weights[`${name}.weight`];
    this.bias = Float64Array.from(weights[`${name}.bias`], (b) => b * 2 ** (7 + inBits - 10));
    this.nOutputs = this.bias.length;
    this.nInputs = weight.length / this.nOutputs;
    this.weight = padded(weight, this.nOutputs, this.nInputs);
    this.shift = 7 + inBits - outBits;
    this.limit = limit;
    this.isLeaky = isLeaky;
  }

  /** Rows that a buffer of its inputs must have: those beyond the inputs are met by zeros. */
  get nInputRows() {
    return paddedLength(this.nInputs);
  }

  /**
   * Apply the layer to `n` pixels.
   * @param {Float64Array} inputs one row per input
   * @param {number} stride of both buffers
   * @param {number} n
   * @param {Float64Array} out
   * @param {number} firstRow of `out` that it writes
   * @param {Float64Array} sums scratch, at least `2 * n`
   */
  apply(inputs, stride, n, out, firstRow, sums) {
    const { nOutputs, shift, limit, isLeaky } = this;
    for (let j = 0; j < nOutputs; j += 2) {
      weighPair(sums, n, this.bias[j], this.bias[j + 1] ?? 0, this, j, inputs, stride);
      const at = (firstRow + j) * stride;
      finishRow(sums, 0, n, shift, limit, isLeaky, out, at);
      if (j + 1 < nOutputs) finishRow(sums, n, n, shift, limit, isLeaky, out, at + stride);
    }
  }
}

function paddedLength(n) {
  return Math.ceil(n / N_AT_ONCE) * N_AT_ONCE;
}

/** Weights `[outputs, inputs]` with zeros after each row, and after an odd number of rows. */
function padded(weight, nOutputs, nInputs) {
  const rowLength = paddedLength(nInputs);
  const out = new Float64Array((nOutputs + (nOutputs & 1)) * rowLength);
  for (let j = 0; j < nOutputs; j++) {
    out.set(weight.subarray(j * nInputs, (j + 1) * nInputs), j * rowLength);
  }
  return out;
}

/**
 * The sums of outputs `j` and `j + 1`, one row after the other.
 * Eight inputs at a time: what is loaded and checked is used twice.
 */
function weighPair(sums, n, bias0, bias1, { weight, nInputRows }, j, inputs, stride) {
  for (let k = 0; k < nInputRows; k += N_AT_ONCE) {
    addEight(sums, n, bias0, bias1, weight, j * nInputRows + k, nInputRows, inputs, stride, k);
  }
}

function addEight(sums, n, bias0, bias1, weight, from, rowLength, inputs, stride, k) {
  const [a0, a1, a2, a3, a4, a5, a6, a7] = weight.subarray(from, from + 8);
  const [b0, b1, b2, b3, b4, b5, b6, b7] = weight.subarray(from + rowLength, from + rowLength + 8);
  const isFirst = k === 0;
  for (let p = 0; p < n; p++) {
    const i = k * stride + p;
    const x0 = inputs[i];
    const x1 = inputs[i + stride];
    const x2 = inputs[i + 2 * stride];
    const x3 = inputs[i + 3 * stride];
    const x4 = inputs[i + 4 * stride];
    const x5 = inputs[i + 5 * stride];
    const x6 = inputs[i + 6 * stride];
    const x7 = inputs[i + 7 * stride];
    sums[p] = (isFirst ? bias0 : sums[p])
      + a0 * x0 + a1 * x1 + a2 * x2 + a3 * x3 + a4 * x4 + a5 * x5 + a6 * x6 + a7 * x7;
    sums[n + p] = (isFirst ? bias1 : sums[n + p])
      + b0 * x0 + b1 * x1 + b2 * x2 + b3 * x3 + b4 * x4 + b5 * x5 + b6 * x6 + b7 * x7;
  }
}
