// SPDX-License-Identifier: MIT
/**
 * @file Makes views in worker threads, each some rows, and shows them on a canvas without WebGL.
 * Must not know of the page.
 */
import { colorAt } from "./palette.mjs";

const MAX_WORKERS = 8;
const COLORS = Array.from({ length: 256 }, (_, i) => colorAt(i / 255));

/** Draws means of views of a scene on a canvas; the twin of GlRenderer. */
export class PoolRenderer {
  kind = "worker threads";
  hasRough = false;

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
    for (const worker of this.workers) worker.postMessage({ kind: "scene", scene });
    Object.assign(this, { scene, height, width, nViews: 0 });
    this.canvas.width = width;
    this.canvas.height = height;
    this.image = this.context.createImageData(width, height);
    this.totals = new Uint32Array(width * height * 4);
    return true;
  }

  /** Add a view to the mean; the first one begins it, and may bring disparities. */
  async add(pose, isFirst, withDisparity) {
    const { height, width, totals } = this;
    const { channels } = this.scene.header;
    const n = this.workers.length;
    const parts = this.workers.map((worker, i) => {
      const y0 = Math.floor((height * i) / n);
      const y1 = Math.floor((height * (i + 1)) / n);
      if (y0 === y1) return null;
      const region = [y0, y1, 0, width];
      return ask(worker, { kind: "render", pose, region, withDisparity });
    });
    this.nViews = isFirst ? 1 : this.nViews + 1;
    let to = 0;
    for (const part of parts) {
      if (part === null) continue;
      const { samples, disparity } = await part;
      for (let i = 0, from = 0; from < samples.length; i++, from += channels, to += 4) {
        const last = from + channels - 1;
        const red = samples[from];
        const green = samples[channels === 1 ? from : from + 1];
        const blue = samples[last];
        if (isFirst) {
          totals[to] = red;
          totals[to + 1] = green;
          totals[to + 2] = blue;
          totals[to + 3] = (disparity ? disparity[i] : 0) + 32768;
        } else {
          totals[to] += red;
          totals[to + 1] += green;
          totals[to + 2] += blue;
        }
      }
    }
  }

  present({ overlay, range: [low, high] }) {
    const { totals, image } = this;
    const unit = 255 / ((2 ** this.scene.header.bit_depth - 1) * this.nViews);
    for (let i = 0; i < totals.length; i += 4) {
      for (let c = 0; c < 3; c++) image.data[i + c] = totals[i + c] * unit; // rounded
      image.data[i + 3] = 255;
      if (overlay > 0) {
        const at = (totals[i + 3] - 32768 - low) / (high - low);
        const color = COLORS[Math.round(Math.max(0, Math.min(1, at)) * 255)];
        for (let c = 0; c < 3; c++) {
          image.data[i + c] += (color[c] - image.data[i + c]) * overlay;
        }
      }
    }
    this.context.putImageData(image, 0, 0);
  }

  async finish() {
    return true;
  }

  async sums() {
    return this.totals.slice();
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
