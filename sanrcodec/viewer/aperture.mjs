// SPDX-License-Identifier: MIT
/**
 * @file The views that a synthetic aperture takes, and how each is shifted to focus.
 * Must not render anything.
 */
import { poseOf } from "./views.mjs";

const MAX_VIEWS = 64;
const GOLDEN_ANGLE = Math.PI * (3 - Math.sqrt(5));

/**
 * Positions that fill a disk evenly, its center first and any first part of them spread as well.
 * @param {number} n
 * @returns {[number, number][]} offsets of radius at most 1
 */
export function diskOf(n) {
  const spiral = Array.from({ length: n }, (_, i) => {
    const radius = Math.sqrt(i / Math.max(n - 1, 1));
    return [radius * Math.sin(i * GOLDEN_ANGLE), radius * Math.cos(i * GOLDEN_ANGLE)];
  });
  // Steps of a number that has no divisor in common with n visit all of them.
  let step = Math.max(1, Math.round(n * 0.382));
  while (divisor(step, n) !== 1) step += 1;
  return spiral.map((_, i) => spiral[(i * step) % n]);
}

function divisor(a, b) {
  return b === 0 ? a : divisor(b, a % b);
}

/**
 * The poses whose mean is a picture with a depth of field.
 * @param {import("./scene.mjs").Scene} scene
 * @param {{v: number, u: number, aperture: number, focus: number}} at position in views, radius of
 *   the aperture in views, and the disparity in focus in pixels per view, Q9
 * @returns {ReturnType<typeof poseOf>[]} the one at the center first
 */
export function posesOf(scene, { v, u, aperture, focus }) {
  const { n_v: nV, n_u: nU, layers } = scene.header;
  const center = poseOf(scene, Math.round(256 * v), Math.round(256 * u));
  if (aperture <= 0 || layers === 0) return [center];
  const n = Math.min(MAX_VIEWS, Math.ceil(12 * (1 + aperture) ** 2));
  const round = (x, count) => Math.round(256 * Math.max(0, Math.min(count - 1, x)));
  return diskOf(n).map(([dv, du], i) => {
    if (i === 0) return center;
    const pose = poseOf(scene, round(v + aperture * dv, nV), round(u + aperture * du, nU));
    return focused(pose, center, focus);
  });
}

/** The pose, shifted so that what has the disparity `focus` lies where `center` sees it. */
export function focused(pose, center, focus) {
  const shift = (a, b) => Math.floor(((a - b) * focus + 2048) / 4096);
  return {
    ...pose,
    shiftY: pose.shiftY + shift(pose.av, center.av),
    shiftX: pose.shiftX + shift(pose.au, center.au),
  };
}
