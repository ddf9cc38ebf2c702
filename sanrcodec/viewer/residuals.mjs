// SPDX-License-Identifier: MIT
/**
 * @file Residuals of single views, read and added to samples (format_spec.md sections 6.6 and 8.6).
 * Must not know how a view is made.
 */
import { N_SCALES, SymbolDecoder } from "./coder.mjs";
import { LimitError } from "./errors.mjs";

export const BLOCK = 8;
const N_LEVELS = BLOCK * BLOCK;
const N_DIAGONALS = 2 * BLOCK - 1;
const N_CLASSES = 4;
const N_STEPS = 48;
const MAX_FLAG = 3;
const MAX_LEVEL = 2047;
const FINENESS_SCALES = 4;
const MAX_COEFFICIENT = 65535;
const MAX_RESIDUAL = 8191;
const MAX_FLAGS_PER_BYTE = 2 ** 17; // a flag costs at least 1.1e-4 bits
const MAX_BLOCKS_PER_BYTE = 2;

// What the integers of the head are expected to be, and the scale that codes the difference.
const HEAD = [
  28, 2, 2, 2, 2, 2, 2, 2, 2,
  14, ...new Array(N_DIAGONALS - 1).fill(-1), ...new Array(N_DIAGONALS).fill(0),
];
const HEAD_SCALE = 18;

const TRANSFORM = [
  [64, 64, 64, 64, 64, 64, 64, 64],
  [89, 75, 50, 18, -18, -50, -75, -89],
  [83, 36, -36, -83, -83, -36, 36, 83],
  [75, -18, -89, -50, 50, 89, 18, -75],
  [64, -64, -64, 64, 64, -64, -64, 64],
  [50, -89, 18, 75, -75, -18, 89, -50],
  [36, -83, 83, -36, -36, 83, -83, 36],
  [18, -50, 75, -89, 89, -75, 50, -18],
];

/**
 * @typedef {object} Residual of a block
 * @property {number} y of its first pixel
 * @property {number} x likewise
 * @property {number} step of its levels
 * @property {Int32Array[]} planes levels of Y, or of Y, Cb and Cr
 */

/** Rows and columns of the blocks of a view. */
export function blockGrid({ height, width }) {
  return [Math.ceil(height / BLOCK), Math.ceil(width / BLOCK)];
}

/** Blocks of all views. */
export function nBlocks(header) {
  const [rows, columns] = blockGrid(header);
  return header.n_v * header.n_u * rows * columns;
}

/**
 * Decode RESIDUALS.
 * @param {Record<string, number>} header
 * @param {Uint8Array} payload
 * @returns {Residual[][]} of each view in raster order
 */
export function readResiduals(header, payload) {
  if (nBlocks(header) > (payload.length + 8) * MAX_FLAGS_PER_BYTE) {
    throw new LimitError(
      `${nBlocks(header)} flags in ${payload.length} bytes; the file is damaged`,
    );
  }
  const decoder = new SymbolDecoder(payload, "section RESIDUALS");
  const tables = readHead(decoder);
  const [rows, columns] = blockGrid(header);
  const views = [];
  const flagsOf = []; // of the latest view of each column
  let total = 0;
  for (let i = 0; i < header.n_v * header.n_u; i++) {
    const column = i % header.n_u;
    const before = [];
    if (i >= header.n_u) before.push(flagsOf[column]);
    if (column > 0) before.push(flagsOf[column - 1]);
    const flags = readFlags(decoder, header, tables, before, rows, columns);
    total += flags.reduce((sum, flag) => sum + (flag !== 0 ? 1 : 0), 0);
    if (total > MAX_BLOCKS_PER_BYTE * payload.length) {
      throw decoder.corrupt(`more than ${MAX_BLOCKS_PER_BYTE * payload.length} blocks`);
    }
    views.push(readLevels(decoder, tables, flags, columns));
    flagsOf[column] = flags;
  }
  decoder.finish();
  return views;
}

function readHead(decoder) {
  const n = HEAD.length;
  const head = new Int32Array(n);
  const locations = Int32Array.from(HEAD, (expected) => 8 * expected);
  decoder.call(locations, new Uint8Array(n).fill(HEAD_SCALE), n, head);
  const [step] = head;
  const flags = Array.from({ length: N_CLASSES }, (_, k) => [head[1 + 2 * k], head[2 + 2 * k]]);
  const luma = [];
  const chroma = [];
  for (let d = 0, sum = 0; d < N_DIAGONALS; d++) {
    sum += head[1 + 2 * N_CLASSES + d];
    luma.push(sum);
    chroma.push(sum + head[1 + 2 * N_CLASSES + N_DIAGONALS + d]);
  }
  if (step < 0 || step >= N_STEPS) throw decoder.corrupt(`step is ${step}`);
  if (flags.some(([location]) => location < -4 || location > 3)) {
    throw decoder.corrupt("a location of flags is out of range");
  }
  const scales = [...flags.map(([, scale]) => scale), ...luma, ...chroma];
  if (scales.some((scale) => scale < 0 || scale >= N_SCALES)) {
    throw decoder.corrupt("a scale is out of range");
  }
  return { step, flags, scales: [luma, chroma, chroma] };
}

/** The flags of a view's blocks, each by what the views before have around it. */
function readFlags(decoder, { channels }, tables, before, rows, columns) {
  const n = rows * columns;
  const locations = new Int32Array(n);
  const scales = new Uint8Array(n);
  for (let y = 0, i = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++, i++) {
      let count = 0;
      for (const flags of before) {
        for (let row = Math.max(0, y - 1); row <= Math.min(rows - 1, y + 1); row++) {
          for (let column = Math.max(0, x - 1); column <= Math.min(columns - 1, x + 1); column++) {
            if (flags[row * columns + column] !== 0) count += 1;
          }
        }
        if (flags[i] !== 0) count += 2;
      }
      [locations[i], scales[i]] = tables.flags[Math.min(count, N_CLASSES - 1)];
    }
  }
  const flags = new Int32Array(n);
  decoder.call(locations, scales, n, flags);
  for (const flag of flags) {
    if (Math.abs(flag) > MAX_FLAG) throw decoder.corrupt(`a flag is ${flag}`);
    if (flag < 0 && channels === 1) throw decoder.corrupt("a block of a gray view has chroma");
  }
  return flags;
}

/** The levels of a view's blocks. */
function readLevels(decoder, tables, flags, columns) {
  const residuals = [];
  const scales = [];
  flags.forEach((flag, i) => {
    if (flag === 0) return;
    const finer = Math.abs(flag) - 1;
    const planes = Array.from({ length: flag < 0 ? 3 : 1 }, () => new Int32Array(N_LEVELS));
    planes.forEach((_, plane) => {
      for (let j = 0; j < N_LEVELS; j++) {
        const scale = tables.scales[plane][(j >> 3) + (j & 7)] + FINENESS_SCALES * finer;
        scales.push(Math.min(N_SCALES - 1, scale));
      }
    });
    residuals.push({
      y: BLOCK * Math.floor(i / columns),
      x: BLOCK * (i % columns),
      step: ((4 + (tables.step & 3)) << (tables.step >> 2)) >> finer,
      planes,
    });
  });
  const n = scales.length;
  const levels = new Int32Array(n);
  decoder.call(new Int32Array(n), Uint8Array.from(scales), n, levels);
  if (levels.some((level) => Math.abs(level) > MAX_LEVEL)) {
    throw decoder.corrupt(`a level exceeds +-${MAX_LEVEL}`);
  }
  let at = 0;
  for (const { planes } of residuals) {
    for (const plane of planes) {
      plane.set(levels.subarray(at, at + N_LEVELS));
      at += N_LEVELS;
    }
  }
  return residuals;
}

/** The inverse transform: levels -> residual `[8, 8]`, Q12. */
function transformed(levels, step) {
  const columns = new Int32Array(N_LEVELS);
  const out = new Int32Array(N_LEVELS);
  const coefficients = levels.map((level) =>
    Math.max(-MAX_COEFFICIENT, Math.min(MAX_COEFFICIENT, level * step)),
  );
  for (let y = 0; y < BLOCK; y++) {
    for (let b = 0; b < BLOCK; b++) {
      let sum = 64;
      for (let a = 0; a < BLOCK; a++) sum += TRANSFORM[a][y] * coefficients[BLOCK * a + b];
      columns[BLOCK * y + b] = sum >> 7;
    }
    for (let x = 0; x < BLOCK; x++) {
      let sum = 128;
      for (let b = 0; b < BLOCK; b++) sum += columns[BLOCK * y + b] * TRANSFORM[b][x];
      out[BLOCK * y + x] = Math.max(-MAX_RESIDUAL, Math.min(MAX_RESIDUAL, sum >> 8));
    }
  }
  return out;
}

/**
 * Add the residuals of a view to its samples, in place.
 * @param {Record<string, number>} header
 * @param {Residual[]} residuals of the view
 * @param {[number, number, number, number]} region `[y0, y1, x0, x1]`, half open
 * @param {Uint8Array | Uint16Array} samples of the region
 */
export function addResiduals({ bit_depth: bitDepth, channels }, residuals, region, samples) {
  const [y0, y1, x0, x1] = region;
  const peak = 2 ** bitDepth - 1;
  for (const { y, x, step, planes } of residuals) {
    if (y + BLOCK <= y0 || y >= y1 || x + BLOCK <= x0 || x >= x1) continue;
    const residual = planes.map((levels) => transformed(levels, step));
    const changes = sampleChanges(residual, channels, peak);
    for (let row = Math.max(y, y0); row < Math.min(y + BLOCK, y1); row++) {
      for (let column = Math.max(x, x0); column < Math.min(x + BLOCK, x1); column++) {
        const from = channels * (BLOCK * (row - y) + column - x);
        const to = channels * ((row - y0) * (x1 - x0) + column - x0);
        for (let c = 0; c < channels; c++) {
          const sample = samples[to + c] + changes[from + c];
          samples[to + c] = Math.max(0, Math.min(peak, sample));
        }
      }
    }
  }
}

/** Residuals of planes -> changes of the samples of a block, `[8, 8, channels]`. */
function sampleChanges([luma, blue, red], channels, peak) {
  const changes = new Int32Array(channels * N_LEVELS);
  for (let i = 0; i < N_LEVELS; i++) {
    if (channels === 1) {
      changes[i] = Math.floor((luma[i] * peak) / 4096 + 0.5);
      continue;
    }
    const [y, b, r] = [4096 * luma[i], blue ? blue[i] : 0, red ? red[i] : 0];
    [y + 6450 * r, y - 767 * b - 1917 * r, y + 7601 * b].forEach((sum, c) => {
      changes[3 * i + c] = Math.floor((sum * peak) / 2 ** 24 + 0.5);
    });
  }
  return changes;
}
