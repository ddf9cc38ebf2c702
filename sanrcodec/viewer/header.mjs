// SPDX-License-Identifier: MIT
/**
 * @file The header and what follows from it: grids, passes, shapes (format_spec.md sections 4, 5).
 * Must not hold weights or latents.
 */
import { readVarint } from "./container.mjs";
import { CorruptSectionError, LimitError } from "./errors.mjs";

/** Name, lowest and highest value of every header field, in order (section 4). */
export const HEADER_FIELDS = [
  ["n_v", 1, 1024],
  ["n_u", 1, 1024],
  ["height", 1, 16384],
  ["width", 1, 16384],
  ["channels", 1, 3],
  ["bit_depth", 8, 16],
  ["layers", 0, 4],
  ["margin_y", 0, 2048],
  ["margin_x", 0, 2048],
  ["mirrored", 0, 1],
  ["axes_reversed", 0, 1],
  ["transposed", 0, 1],
  ["gain", 1, 255],
  ["texture_levels", 1, 12],
  ["occluded_first", 0, 11],
  ["texture_hidden", 0, 128],
  ["features", 1, 64],
  ["color_filter", 0, 1],
  ["filter_hidden", 0, 64],
  ["attention", 0, 1],
  ["geometry_first", 0, 11],
  ["geometry_levels", 0, 12],
  ["geometry_hidden", 0, 64],
  ["slope_first", 0, 11],
  ["slope_levels", 0, 12],
  ["view_depth", 0, 4],
  ["view_hidden", 0, 128],
  ["spatial", 0, 1],
  ["arm_hidden", 1, 64],
  ["per_view", 0, 1],
  ["profile", 0, 255],
];
const MAX_VIEWS = 4096;
const MAX_CANVAS_PIXELS = 2 ** 28;
const MAX_SCENE_SAMPLES = 2 ** 30;

export const GEOMETRY_GROUP = -1;
export const SLOPE_GROUPS = [-2, -3]; // along y, along x

/**
 * Parse the payload of HEADER and check it.
 * @param {Uint8Array} payload
 * @returns {Record<string, number>} the fields, by the names of section 4
 */
export function readHeader(payload) {
  const header = {};
  let position = 0;
  for (const [name] of HEADER_FIELDS) {
    [header[name], position] = readVarint(payload, position, `header field ${name}`);
  }
  if (position !== payload.length) {
    throw new CorruptSectionError(
      `section HEADER: ${payload.length - position} bytes after the last field`,
    );
  }
  for (const [name, low, high] of HEADER_FIELDS) {
    if (header[name] < low || header[name] > high) {
      throw new LimitError(`header field ${name} is ${header[name]}, allowed are ${low}..${high}`);
    }
  }
  const [rows, columns] = levelShape(header, 0);
  const nPlanes = nTextures(header) * (header.features + 1) + nSlopes(header);
  const nSamples = rows * columns * nPlanes;
  const maxMargin = Math.floor(Math.max(header.height, header.width) / 4) + 1;
  limit(
    header.n_v * header.n_u <= MAX_VIEWS,
    `${header.n_v} x ${header.n_u} views, allowed are ${MAX_VIEWS} in all`,
  );
  limit(header.channels !== 2, "header field channels is 2, allowed are 1 and 3");
  limit(header.features >= header.channels, "header has fewer features than color channels");
  limit(rows * columns <= MAX_CANVAS_PIXELS, `canvas of ${rows} x ${columns} pixels is too large`);
  limit(nSamples <= MAX_SCENE_SAMPLES, `scene of ${nSamples} samples is too large`);
  limit(
    Math.max(header.margin_y, header.margin_x) <= maxMargin,
    `margins of ${header.margin_y} and ${header.margin_x} pixels exceed ${maxMargin}`,
  );
  limit(header.layers < 1 || header.geometry_levels >= 1, "header has layers but no geometry");
  limit(
    header.layers < 2 || header.occluded_first < header.texture_levels,
    "header field occluded_first leaves no level to the layers behind",
  );
  limit(header.view_depth < 1 || header.view_hidden >= 1, "header has a view network of width 0");
  return header;
}

function limit(condition, message) {
  if (!condition) throw new LimitError(message);
}

/** Whether the color of the front layer changes with the place of a view (8.2). */
export function hasSlopes(header) {
  return header.layers > 0 && header.slope_levels > 0;
}

/** Number of slope planes: of each color along y, then along x. */
export function nSlopes(header) {
  return hasSlopes(header) ? 2 * header.channels : 0;
}

/** Place of the first slope among the planes of the front layer. */
export function slopePlane({ layers, features }) {
  return layers > 1 ? features + 1 : features;
}

/** Number of texture pyramids, `T`. */
export function nTextures(header) {
  return Math.max(1, header.layers);
}

/** Rows and columns of a grid at a level, and of the canvas of smaller views (8.5). */
export function levelShape(header, level) {
  return [
    ceilShift(header.height + 2 * header.margin_y, level),
    ceilShift(header.width + 2 * header.margin_x, level),
  ];
}

/** Rows and columns of a view at a level (8.5). */
export function viewShape(header, level) {
  return [ceilShift(header.height, level), ceilShift(header.width, level)];
}

/** `ceil(n / 2^shift)`. */
export function ceilShift(n, shift) {
  return (n + (1 << shift) - 1) >> shift;
}

/**
 * All grids in coding order (5.1, 5.2).
 * @returns {{group: number, level: number, height: number, width: number}[]}
 */
export function codingOrder(header) {
  const ranges = new Map();
  if (header.layers >= 1) {
    const first = header.geometry_first;
    ranges.set(GEOMETRY_GROUP, [first, first + header.geometry_levels]);
  }
  ranges.set(0, [0, header.texture_levels]);
  for (let group = 1; group < nTextures(header); group++) {
    ranges.set(group, [header.occluded_first, header.texture_levels]);
  }
  if (hasSlopes(header)) {
    const first = header.slope_first;
    for (const group of SLOPE_GROUPS) ranges.set(group, [first, first + header.slope_levels]);
  }
  const end = Math.max(...[...ranges.values()].map(([, stop]) => stop));
  const grids = [];
  for (let level = end - 1; level >= 0; level--) {
    const [height, width] = levelShape(header, level);
    for (const [group, [first, stop]] of ranges) {
      if (level >= first && level < stop) grids.push({ group, level, height, width });
    }
  }
  return grids;
}

/** Name of the entropy network that codes a grid (6.2). */
export function networkOf(grid) {
  if (SLOPE_GROUPS.includes(grid.group)) return "slope";
  return grid.group === GEOMETRY_GROUP ? "geometry" : "texture";
}

/** Names of all entropy networks, in the order of their tensors (5.4). */
export function networkNames(header) {
  const names = header.layers > 0 ? ["texture", "geometry"] : ["texture"];
  return hasSlopes(header) ? [...names, "slope"] : names;
}

/**
 * The passes of a grid (5.3).
 * @returns {{kind: number, y0: number, x0: number, stride: number}[]}
 */
export function passes(height, width) {
  const list = [{ kind: 0, y0: 0, x0: 0, stride: 8 }];
  for (const stride of [8, 4, 2]) {
    const half = stride / 2;
    for (const [kind, y0, x0] of [[1, half, half], [2, 0, half], [3, half, 0]]) {
      if (y0 < height && x0 < width) list.push({ kind, y0, x0, stride });
    }
  }
  return list;
}
