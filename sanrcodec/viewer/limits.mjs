// SPDX-License-Identifier: MIT
/**
 * @file What a file may cost its reader: compared with its header before anything is decoded.
 * Must not know what is in a file beyond its header and its size.
 */
import { LimitError } from "./errors.mjs";
import { codingOrder, levelShape, nSlopes, nTextures, viewShape } from "./header.mjs";
import { finestLevel } from "./scene.mjs";
import { N_CONTEXTS, tensorList, tensorSize } from "./tensors.mjs";

const MAX_PIXELS = 2 ** 27; // of the canvases of all layers
const MOST_WORK = 2 ** 39; // multiply-accumulates up to the first view
const WORK_OF_ANY = 2 ** 34; // that a file of few bytes may take, too
const WORK_PER_BYTE = 2 ** 28;
// What a pixel costs beside products: rounding, clipping, gathering, and its latent's decoding.
const WORK_PER_PIXEL = 500;
const WORK_PER_FLAG = 500; // range coding it
const N_UPSAMPLING_TAPS = 8;
const N_HALF_SAMPLE_TAPS = 8;
const N_SEARCH_ROUNDS = 4;

/** Pixels of the canvases of all layers, for views that are smaller by `2^level`. */
export function pixelsOf(header, level) {
  return nTextures(header) * area(levelShape(header, level));
}

/** Multiply-accumulates, about, up to the first view that is smaller by `2^level`. */
export function workOf(header, level) {
  const tensors = tensorList(header);
  const sizeOf = (pattern) => tensors.reduce(
    (sum, { name, shape }) => sum + (pattern.test(name) ? tensorSize(shape) : 0), 0,
  );
  const { layers, features, channels, arm_hidden: nHidden } = header;
  const n = nTextures(header);
  const canvas = area(levelShape(header, 0));
  const nLatents = codingOrder(header)
    .filter((grid) => grid.level >= finestLevel(level))
    .reduce((sum, { height, width }) => sum + height * width, 0);
  const entropy = (2 * N_CONTEXTS * (nHidden + 2) + 2 * nHidden) * nLatents;

  let perPixel = n * (doublingOf(header, 0, header.texture_levels) / canvas
    + sizeOf(/^texture\..*(weight|attention\.bias)$/)
    + sizeOf(/^color_filter\.(linear|output|hidden\.weight)$/)
    + WORK_PER_PIXEL);
  let perViewPixel = channels ** 2 + sizeOf(/^view\..*weight$/);
  if (layers > 0) {
    const nPlanes = layers * (features + 1) - 1 + nSlopes(header);
    perPixel += doublingOf(header, header.geometry_first, header.geometry_levels) / canvas
      + sizeOf(/^geometry\..*(weight|attention\.bias)$/)
      + 3 * N_HALF_SAMPLE_TAPS * nPlanes;
    perViewPixel += 4 * nPlanes + 2 * N_SEARCH_ROUNDS * layers + (layers - 1) * features
      + nSlopes(header);
    if (nSlopes(header) > 0) {
      perPixel += 2 * (doublingOf(header, header.slope_first, header.slope_levels) / canvas
        + sizeOf(/^slope\..*weight$/));
    }
  }
  return entropy + area(levelShape(header, level)) * perPixel
    + area(viewShape(header, level)) * perViewPixel;
}

/**
 * Refuse a scene that costs too much. The default limits are those of the Python decoder.
 * @param {Record<string, number>} header
 * @param {number} nBytes of the file
 * @param {number} level views are smaller by `2^level`
 * @param {{maxPixels?: number, maxWork?: number}} limits `Infinity` lifts a limit
 * @param {number} nFlags blocks of all views, where the file says which of them have a residual
 */
export function checkCost(header, nBytes, level, { maxPixels, maxWork }, nFlags = 0) {
  const cost = workOf(header, level) + WORK_PER_FLAG * nFlags;
  const usualWork = Math.min(MOST_WORK, WORK_OF_ANY + WORK_PER_BYTE * nBytes);
  for (const [what, found, most, name] of [
    ["pixels on all layers", pixelsOf(header, level), maxPixels ?? MAX_PIXELS, "maxPixels"],
    ["multiply-accumulates", cost, maxWork ?? usualWork, "maxWork"],
  ]) {
    if (found > most) {
      throw new LimitError(
        `a file of ${nBytes} bytes asks for ${found.toPrecision(2)} ${what}, the limit is `
          + `${most.toPrecision(2)}; if you trust the file, raise ${name}`,
      );
    }
  }
}

function area([rows, columns]) {
  return rows * columns;
}

/** Multiply-accumulates of doubling the grids of a pyramid to the canvas. */
function doublingOf(header, first, nLevels) {
  const coarsest = first + nLevels - 1;
  let sum = 0;
  for (let level = 0; level < coarsest; level++) {
    const nSamples = Math.floor((3 * area(levelShape(header, level))) / 2);
    sum += Math.min(coarsest - level, nLevels) * N_UPSAMPLING_TAPS * nSamples;
  }
  return sum;
}
