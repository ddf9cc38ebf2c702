// SPDX-License-Identifier: MIT
/**
 * @file Makes views in worker threads, each some rows, and shows them on a canvas without WebGL.
 * Must not know of the page.
 */

const MAX_WORKERS = 8;

/** Draws means of views of a scene on a canvas; the twin of GlRenderer. */
export class PoolRenderer {
  kind = "worker threads";
  hasRough = false; // until it is known how threads make views

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {() => Worker} makeWorker starts a thread that runs worker.mjs
   */
  constructor(canvas, makeWorker) {
    const nWorkers = Math.max(1, Math.min(MAX_WORKERS, navigator.hardwareConcurrency || 2));
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.workers = Array.from({ length: nWorkers }, makeWorker);
  }

  setScene(scene, height, width) {
    const n = this.workers.length;
    this.parts = this.workers
      .map((worker, i) => ({
        worker,
        rows: [Math.floor((height * i) / n), Math.floor((height * (i + 1)) / n)],
      }))
      .filter(({ rows: [y0, y1] }) => y0 < y1);
    this.placed = this.placeScene(scene);
    this.placed.catch(() => {}); // told by the first view
    Object.assign(this, { scene, height, width, nViews: 0 });
    this.resize(height, width);
    this.clear();
    return true;
  }

  async placeScene(scene) {
    const [{ language }] = await Promise.all(
      this.parts.map(({ worker, rows }) => ask(worker, { kind: "scene", scene, rows })),
    );
    this.language = language; // the same in all threads
    this.hasRough = language === "WebAssembly";
  }

  /** Add a view to the mean; the first one begins it, and may bring disparities. */
  add(pose, isFirst, withDisparity) {
    if (isFirst) {
      this.clear();
      Object.assign(this.waiting, { isFirst, withDisparity });
      this.nViews = 0;
    }
    this.waiting.poses.push(pose);
    this.nViews += 1;
  }

  /**
   * Show the mean, under disparities as colors. A single view may be rough, by a stride of 2: it
   * takes a quarter of the time.
   */
  async present({ overlay, range, stride }) {
    const { nViews, height, width } = this;
    if (stride === 2) {
      this.put(await this.askAll({ kind: "rough" }), Math.ceil(height / 2), Math.ceil(width / 2));
      return;
    }
    const answers = await this.askAll({ kind: "show", nViews, overlay, range });
    const whole = answers.map(({ pixels }, i) => ({ pixels, rows: this.parts[i].rows }));
    this.put(whole, height, width);
  }

  /** Draw rows of pixels on a canvas of their size. */
  put(parts, height, width) {
    this.resize(height, width);
    for (const { pixels, rows: [y0, y1] } of parts) {
      if (y0 === y1) continue;
      this.context.putImageData(new ImageData(pixels, width, y1 - y0), 0, y0);
    }
  }

  resize(height, width) {
    const { canvas } = this;
    // Even the same size would clear the canvas.
    if (canvas.height !== height) canvas.height = height;
    if (canvas.width !== width) canvas.width = width;
  }

  async finish() {
    return true;
  }

  /** The sums of the views so far: Uint32Array `[height, width, 4]`, disparity + 32768 last. */
  async sums() {
    const out = new Uint32Array(this.height * this.width * 4);
    const answers = await this.askAll({ kind: "sums" });
    answers.forEach(({ sums }, i) => out.set(sums, this.parts[i].rows[0] * this.width * 4));
    return out;
  }

  /** What all threads answer, who add the views that wait first. */
  async askAll(message) {
    const { waiting } = this;
    this.clear();
    await this.placed;
    return Promise.all(this.parts.map(({ worker }) => ask(worker, { ...message, ...waiting })));
  }

  clear() {
    this.waiting = { poses: [], isFirst: false, withDisparity: false };
  }
}

let nAsked = 0;

/** What a worker answers to a message. */
export function ask(worker, message) {
  nAsked += 1;
  const id = nAsked;
  return new Promise((resolve, reject) => {
    const end = () => {
      worker.removeEventListener("message", listen);
      worker.removeEventListener("error", fail);
    };
    const listen = ({ data }) => {
      if (data.id !== id) return;
      end();
      if (data.error) reject(Object.assign(new Error(data.error.message), data.error));
      else resolve(data);
    };
    const fail = ({ message: reason }) => {
      end();
      reject(new Error(reason || "the browser does not start threads of this page"));
    };
    worker.addEventListener("message", listen);
    worker.addEventListener("error", fail);
    worker.postMessage({ ...message, id });
  });
}
