// SPDX-License-Identifier: MIT
/**
 * @file What a thread of the viewer does: open a file, build scenes, render rows.
 * Must not touch the page.
 */
import { SanrFile } from "./decoder.mjs";
import { renderDisparity, renderView } from "./views.mjs";

/** Answer the messages of a page. */
export function serve(scope) {
  let file = null;
  let rendered = null;
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
    scene: ({ scene }) => {
      rendered = scene;
      return null;
    },
    render: ({ pose, region, withDisparity }) => {
      const samples = renderView(rendered, pose, region);
      const isDeep = withDisparity && rendered.layers.length > 0;
      const disparity = isDeep ? renderDisparity(rendered, pose, region) : null;
      return [{ samples, disparity }, [samples.buffer, ...(disparity ? [disparity.buffer] : [])]];
    },
  };
  scope.addEventListener("message", ({ data }) => {
    const { id, kind } = data;
    try {
      const answer = tasks[kind](data);
      if (answer !== null) scope.postMessage({ id, ...answer[0] }, answer[1]);
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
