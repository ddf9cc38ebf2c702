// SPDX-License-Identifier: MIT
/**
 * @file Colors of disparities, far to near: eight of the palette viridis, which the color blind
 * can read as well. Must not know what they are for.
 */

export const PALETTE = [
  [68, 1, 84], [70, 50, 126], [54, 92, 141], [39, 127, 142],
  [31, 161, 135], [74, 193, 109], [160, 218, 57], [253, 231, 37],
];

/**
 * The color of a place between the first and the last one.
 * @param {number} at 0..1, clipped
 * @returns {[number, number, number]} 0..255
 */
export function colorAt(at) {
  const place = Math.max(0, Math.min(1, at)) * (PALETTE.length - 1);
  const first = Math.min(Math.floor(place), PALETTE.length - 2);
  const rest = place - first;
  return PALETTE[first].map((from, i) => from + (PALETTE[first + 1][i] - from) * rest);
}
