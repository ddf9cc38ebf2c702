// SPDX-License-Identifier: MIT
/**
 * @file The bound of all sums after entropy decoding: 32 bits (format_spec.md section 7.1).
 * Must not change weights.
 */
import { LimitError } from "./errors.mjs";

const MAX_SUM = 2 ** 31 - 1;
const TRUNK = { inMax: 65535, inBits: 11 };
const TRUNK_OUT_BITS = { attention: 8, hidden: 11, output: 12 };
const FEATURES = { inMax: 32767, inBits: 12, outBits: 12 };

/**
 * Refuse weights whose sums 32 bits might not hold.
 * @param {Record<string, number>} header
 * @param {Record<string, Int32Array>} weights tensors in C order, by name
 */
export function checkRowSums(header, weights) {
  for (const name of Object.keys(weights)) {
    const [part, layer, kind] = name.split(".");
    if (kind !== "weight") continue;
    const isTrunk = ["texture", "geometry", "slope"].includes(part);
    const form = isTrunk ? { ...TRUNK, outBits: TRUNK_OUT_BITS[layer] } : FEATURES;
    checkRows(name, [weights[name]], weights[`${part}.${layer}.bias`], form);
  }
  if (header.color_filter) {
    const { "color_filter.linear": linear, "color_filter.output": output } = weights;
    const noBias = new Int32Array(header.channels);
    checkRows("color_filter", output ? [linear, output] : [linear], noBias, FEATURES);
  }
}

/** Check the rows of tensors that lie side by side. */
function checkRows(name, tensors, bias, { inMax, inBits, outBits }) {
  bias.forEach((b, j) => {
    let rowSum = 0;
    for (const tensor of tensors) {
      const n = tensor.length / bias.length;
      for (let k = j * n; k < (j + 1) * n; k++) rowSum += Math.abs(tensor[k]);
    }
    const sum = rowSum * inMax + Math.abs(b) * 2 ** (inBits - 3) + 2 ** (6 + inBits - outBits);
    if (sum > MAX_SUM) {
      throw new LimitError(`${name}: the weights of output ${j} add up to too much, ${rowSum}`);
    }
  });
}
