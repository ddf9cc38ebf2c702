// SPDX-License-Identifier: MIT
/**
 * @file Where the page and its threads begin. Must not hold logic of its own.
 *
 * Scripts and tests use `window.sanrViewer`: `ready`, `viewer`, `controls`.
 */
import { Controls } from "./controls.mjs";
import { Viewer } from "./viewer.mjs";
import { serve } from "./worker.mjs";

/** Show the file that the page carries. */
function startPage() {
  const element = (id) => document.getElementById(id);
  const program = URL.createObjectURL(
    new Blob([element("program").textContent], { type: "text/javascript" }),
  );
  const options = new URLSearchParams(location.hash.slice(1));
  const makeWorker = () => new Worker(program);
  const viewer = new Viewer(element("stage"), makeWorker, options.get("renderer"));
  const controls = new Controls(viewer, document);
  const fail = (error) => {
    element("message").textContent = `This light field cannot be shown. ${describe(error)}`;
    element("message").hidden = false;
    element("panel").hidden = true;
    element("facts").textContent = "";
    document.body.dataset.status = "failed";
  };
  viewer.addEventListener("failure", ({ detail }) => fail(detail));
  viewer.addEventListener("opened", () => (element("facts").textContent = factsOf(viewer)));
  viewer.addEventListener("preview", () => (document.body.dataset.status = "preview"));
  countViews(viewer, element("rate"));

  const content = Uint8Array.from(atob(element("file").textContent.trim()), (c) => c.charCodeAt(0));
  const defaultWeights = JSON.parse(element("default-weights").textContent);
  const limitOf = (name) => (options.has(name) ? Number(options.get(name)) : undefined);
  const limits = { maxPixels: limitOf("maxPixels"), maxWork: limitOf("maxWork") };
  const ready = viewer.open(content, defaultWeights, limits).then(() => {
    document.body.dataset.status = "ready";
    element("about").textContent = aboutOf(viewer);
  });
  ready.catch(fail);
  window.sanrViewer = { ready, viewer, controls };
}

function describe({ name, message }) {
  return name === "Error" || !name ? message : `${name}: ${message}.`;
}

function factsOf({ header, nBytes }) {
  const { n_v: nV, n_u: nU, height, width } = header;
  const bpp = (8 * nBytes) / (nV * nU * height * width);
  return `${nV} × ${nU} views of ${width} × ${height} pixels in ${nBytes} bytes, ` +
    `${bpp.toPrecision(3)} bits per pixel`;
}

function aboutOf({ header, renderer, metadata }) {
  const layers = header.layers > 0 ? `${header.layers} depth layers` : "no depth layers";
  const language = renderer.language ? ` in ${renderer.language}` : "";
  const lines = [`${layers}; views are made by ${renderer.kind}${language}`];
  if (metadata !== null) lines.push(JSON.stringify(metadata, null, 2));
  return lines.join("\n");
}

/** Tell how many views a second are drawn, as long as many are. */
function countViews(viewer, output) {
  let nBefore = 0;
  viewer.addEventListener("drawn", () => {
    if (nBefore > 0) return;
    nBefore = viewer.nDrawn;
    setTimeout(() => {
      const n = viewer.nDrawn - nBefore;
      nBefore = 0;
      output.textContent = n > 2 ? `${n} views a second` : "";
    }, 1000);
  });
}

if (typeof document === "undefined") serve(globalThis);
else startPage();
