// SPDX-License-Identifier: MIT
/**
 * @file What a thread of the viewer does: open a file, build scenes, make rows of views.
 * Must not touch the page.
 */
import { SanrFile } from "./decoder.mjs";
import { overlayDepth, rowsOf } from "./rows.mjs";

/** Answer the messages of a page. */
export function serve(scope) {
  let file = null;
  let rows = null;
  const addAll = ({ poses, isFirst, withDisparity }) => {
    poses.forEach((pose, i) => rows.add(pose, isFirst && i === 0, withDisparity));
  };
  const tasks = {
    open: ({ content, defaultWeights, maxPixels, maxWork }) => {
      file = new SanrFile(content, { defaultWeights, maxPixels, maxWork });
      const { header, nBytes, metadata } = file;
      return [{ header, nBytes, metadata }, []];
    },
    build: ({ level }) => {
      const scene = file.scene(level);
      file.forget(level);
      return [{ scene }, buffersOf(scene)];
    },
    scene: ({ scene, rows: region }) => {
      rows = null; // its memory is needed
      rows = rowsOf(scene, region);
      return [{ language: rows.language }, []];
    },
    sums: (message) => {
      addAll(message);
      const sums = rows.sums();
      return [{ sums }, [sums.buffer]];
    },
    rough: ({ poses }) => {
      const answer = rows.rough(poses[0]);
      return [answer, [answer.pixels.buffer]];
    },
    show: (message) => {
      addAll(message);
      const { nViews, overlay, range } = message;
      const pixels = rows.pixels(nViews);
      if (overlay > 0) overlayDepth(pixels, rows.sums(), overlay, range);
      return [{ pixels }, [pixels.buffer]];
    },
  };
  scope.addEventListener("message", ({ data }) => {
    const { id, kind } = data;
    try {
      const [answer, given] = tasks[kind](data);
      scope.postMessage({ id, ...answer }, given);
    } catch (error) {
      scope.postMessage({ id, error: { name: error.name, message: error.message } });
    }
  });
}

/** The memory that a scene gives away: not that of the weights, which the file keeps. */
function buffersOf(scene) {
  const arrays = [...scene.features];
  for (const { slices, disparity, nearest } of scene.layers) {
    arrays.push(...slices, disparity, nearest);
  }
  return [...new Set(arrays.map((array) => array.buffer))];
}
