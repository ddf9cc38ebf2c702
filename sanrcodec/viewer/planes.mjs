// SPDX-License-Identifier: MIT
/**
 * @file Planes -> larger or smoother planes: upsampling, smoothing, half samples, minima
 * (format_spec.md sections 7.2, 7.3, 8.2, 8.5). Must not know of weights.
 */

const UPSAMPLING_TAPS = [8, 8, -3, 73, 30, -2, 10, 4];
const SMOOTHING_TAPS = [146, 27, 6, 18, 4];
const MAX_PLANE = 65535;
const MAX_FEATURE = 32767;
export const LANES = 8; // features that lie side by side in a slice of half samples

function clipIndex(i, n) {
  return i < 0 ? 0 : i < n ? i : n - 1;
}

function clipPlane(value) {
  return value > MAX_PLANE ? MAX_PLANE : value < -MAX_PLANE ? -MAX_PLANE : value;
}

/**
 * Double a plane along both axes and cut it (7.2).
 * @param {Int32Array} plane `[height, width]`
 * @returns {Int32Array} `[outHeight, outWidth]`
 */
export function doublePlane(plane, height, width, outHeight, outWidth) {
  const tall = new Int32Array(outHeight * width);
  const [t0, t1, t2, t3, t4, t5, t6, t7] = UPSAMPLING_TAPS;
  for (let y = 0; y < outHeight; y++) {
    const sign = y & 1 ? -1 : 1;
    const at = Array.from({ length: 8 }, (_, j) => clipIndex((y >> 1) + sign * (3 - j), height));
    const [r0, r1, r2, r3, r4, r5, r6, r7] = at.map((row) => row * width);
    const to = y * width;
    for (let x = 0; x < width; x++) {
      const sum =
        t0 * plane[r0 + x] + t1 * plane[r1 + x] + t2 * plane[r2 + x] + t3 * plane[r3 + x] +
        t4 * plane[r4 + x] + t5 * plane[r5 + x] + t6 * plane[r6 + x] + t7 * plane[r7 + x];
      tall[to + x] = clipPlane((sum + 64) >> 7);
    }
  }
  const out = new Int32Array(outHeight * outWidth);
  const padded = new Int32Array(width + 8);
  for (let y = 0; y < outHeight; y++) {
    padRow(tall, y * width, width, padded, 4);
    const to = y * outWidth;
    for (let i = 0; 2 * i < outWidth; i++) {
      // Samples i - 4..i + 4; an even one mirrors the taps of an odd one.
      const a = padded[i];
      const b = padded[i + 1];
      const c = padded[i + 2];
      const d = padded[i + 3];
      const e = padded[i + 4];
      const f = padded[i + 5];
      const g = padded[i + 6];
      const h = padded[i + 7];
      const k = padded[i + 8];
      const even = t0 * h + t1 * g + t2 * f + t3 * e + t4 * d + t5 * c + t6 * b + t7 * a;
      const odd = t0 * b + t1 * c + t2 * d + t3 * e + t4 * f + t5 * g + t6 * h + t7 * k;
      out[to + 2 * i] = clipPlane((even + 64) >> 7);
      if (2 * i + 1 < outWidth) out[to + 2 * i + 1] = clipPlane((odd + 64) >> 7);
    }
  }
  return out;
}

/** Copy a row between `reach` copies of its first and of its last sample. */
function padRow(from, at, n, padded, reach) {
  for (let i = 0; i < reach; i++) padded[i] = from[at];
  for (let i = 0; i < n; i++) padded[reach + i] = from[at + i];
  for (let i = 0; i < reach; i++) padded[reach + n + i] = from[at + n - 1];
}

/** Smooth a plane along both axes (8.5). */
export function smoothPlane(plane, height, width) {
  const along = (from, n, step, nLines, lineStep) => {
    const out = new Int32Array(from.length);
    for (let line = 0; line < nLines; line++) {
      const at = line * lineStep;
      for (let i = 0; i < n; i++) {
        let sum = SMOOTHING_TAPS[0] * from[at + i * step] + 128;
        for (let j = 1; j < SMOOTHING_TAPS.length; j++) {
          sum += SMOOTHING_TAPS[j] * (
            from[at + clipIndex(i - j, n) * step] + from[at + clipIndex(i + j, n) * step]
          );
        }
        out[at + i * step] = clipPlane(sum >> 8);
      }
    }
    return out;
  };
  return along(along(plane, height, width, width, 1), width, 1, height, width);
}

/**
 * Means of blocks of a grid finer than the canvas, Q7 (8.5).
 * @param {Int16Array | Int32Array} samples `[height, width]`
 * @param {number} n blocks have `2^n x 2^n` samples
 * @returns {Int32Array} `[outHeight, outWidth]`
 */
export function blockMeans(samples, height, width, n, outHeight, outWidth) {
  const size = 1 << n;
  const out = new Int32Array(outHeight * outWidth);
  for (let y = 0; y < outHeight; y++) {
    for (let x = 0; x < outWidth; x++) {
      let sum = 0;
      for (let a = 0; a < size; a++) {
        const row = clipIndex(size * y + a, height) * width;
        for (let b = 0; b < size; b++) sum += samples[row + clipIndex(size * x + b, width)];
      }
      out[y * outWidth + x] = sum << (7 - 2 * n);
    }
  }
  return out;
}

/**
 * Half samples of planes (7.3), eight planes side by side.
 * @param {Int16Array[]} planes each `[height, width]`
 * @returns {Int16Array[]} slices `[2 * height, 2 * width, 8]`; lanes without a plane are 0
 */
export function halfSamples(planes, height, width) {
  const slices = [];
  const rows = Array.from({ length: LANES }, () => new Int32Array(width + 7));
  for (let first = 0; first < planes.length; first += LANES) {
    const group = planes.slice(first, first + LANES);
    const slice = new Int16Array(4 * height * width * LANES);
    for (let y = 0; y < 2 * height; y++) {
      group.forEach((plane, lane) => {
        halfRow(plane, height, width, y, rows[lane]);
        spreadRow(rows[lane], width, slice, y * 2 * width * LANES + lane);
      });
    }
    slices.push(slice);
  }
  return slices;
}

/** Row `y` of a plane doubled along `y`, between copies of its first and last sample. */
function halfRow(plane, height, width, y, row) {
  const at = (y >> 1) * width;
  if (y & 1) {
    const near = Array.from({ length: 8 }, (_, j) => clipIndex((y >> 1) + j - 3, height));
    const [a, b, c, d, e, f, g, h] = near.map((r) => r * width);
    for (let x = 0; x < width; x++) {
      row[x + 3] = halfSample(
        plane[d + x] + plane[e + x], plane[c + x] + plane[f + x],
        plane[b + x] + plane[g + x], plane[a + x] + plane[h + x],
      );
    }
  } else {
    row.set(plane.subarray(at, at + width), 3);
  }
  row.fill(row[3], 0, 3);
  row.fill(row[width + 2], width + 3);
}

/** Double a row along `x` into every eighth value. */
function spreadRow(row, width, slice, to) {
  let a = row[0];
  let b = row[1];
  let c = row[2];
  let d = row[3];
  let e = row[4];
  let f = row[5];
  let g = row[6];
  for (let x = 0; x < width; x++) {
    const h = row[x + 7];
    slice[to] = d;
    slice[to + LANES] = halfSample(d + e, c + f, b + g, a + h);
    to += 2 * LANES;
    a = b;
    b = c;
    c = d;
    d = e;
    e = f;
    f = g;
    g = h;
  }
}

/** A half sample from the sums of its neighbors, nearest first. */
function halfSample(near, second, third, far) {
  const value = (40 * near - 11 * second + 4 * third - far + 32) >> 6;
  return value > MAX_FEATURE ? MAX_FEATURE : value < -MAX_FEATURE ? -MAX_FEATURE : value;
}

/**
 * The least sample at most `reachY` rows and `reachX` columns away, indices clipped (8.2).
 * @param {Int16Array} plane `[height, width]`
 * @returns {Int16Array}
 */
export function minimumAround(plane, height, width, reachY, reachX) {
  const along = (from, n, step, nLines, lineStep, reach) => {
    if (reach === 0) return from;
    const out = new Int16Array(from.length);
    const window = 2 * reach + 1;
    const line = new Int16Array(n + 2 * reach);
    for (let l = 0; l < nLines; l++) {
      const at = l * lineStep;
      for (let i = 0; i < line.length; i++) line[i] = from[at + clipIndex(i - reach, n) * step];
      let size = 1;
      for (; 2 * size <= window; size *= 2) {
        for (let i = 0; i + size < line.length; i++) {
          if (line[i + size] < line[i]) line[i] = line[i + size];
        }
      }
      // Two windows of a power of two cover one that is shorter than both.
      const last = window - size;
      for (let i = 0; i < n; i++) out[at + i * step] = Math.min(line[i], line[i + last]);
    }
    return out;
  };
  return along(along(plane, height, width, width, 1, reachY), width, 1, height, width, reachX);
}
