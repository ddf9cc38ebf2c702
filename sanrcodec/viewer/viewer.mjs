// SPDX-License-Identifier: MIT
/**
 * @file What the page shows: a viewpoint, an aperture, a focus; and when it draws them.
 * Must not listen to the user: that is controls.mjs.
 */
import { posesOf } from "./aperture.mjs";
import { viewShape } from "./header.mjs";
import { GlRenderer } from "./gl.mjs";
import { ask, PoolRenderer } from "./pool.mjs";
import { renderDisparity } from "./views.mjs";

const PREVIEW_LEVEL = 2; // a quarter of the size
const MIN_PREVIEW_PIXELS = 128 * 128;
const BUDGET_MS = 30; // of a frame
const FRAME_MS = 16; // of most screens
const FIRST_BUDGET_MS = 100; // of the first frame of a mean, which few views would make rough
const MIN_BATCH = 8; // views in that frame, if they fit
const LIKELY_MS = 10; // for a view, before any was made
const TURN_MS = 6000; // of a whole turn
const EASE_MS = 60; // until a step of the viewpoint is two thirds done
const OVERLAY = 0.7; // opacity
const SLOW_MS = 33; // for a frame: while the viewpoint moves, a rough picture is better
const MIN_SLOW = 4; // such frames in a row, that one late frame changes nothing
const SETTLE_MS = 120; // from the last move until the picture is made anew, not rough

/** Shows a light field on a canvas. */
export class Viewer extends EventTarget {
  /**
   * @param {HTMLElement} stage where canvases go
   * @param {() => Worker} makeWorker
   * @param {"webgl2" | "workers" | null} wanted how views are made; null leaves it to the browser
   */
  constructor(stage, makeWorker, wanted) {
    super();
    Object.assign(this, { stage, makeWorker, wanted });
    this.state = { v: 0, u: 0, aperture: 0, focus: 0, overlay: false, turning: false };
    this.target = null; // of a step that is under way
    this.pending = []; // poses that the mean still lacks
    this.isDirty = false;
    this.isRunning = false;
    this.isRough = false; // what is shown
    this.nSlow = 0; // frames in a row
    this.msPerView = LIKELY_MS;
    this.nDrawn = 0; // views since the page was opened
    this.idle = Promise.resolve();
  }

  /**
   * Open a file; draws the preview, then the views themselves.
   * @param {Uint8Array} content
   * @param {Record<string, unknown>} defaultWeights
   * @param {{minPreviewPixels?: number, maxPixels?: number, maxWork?: number}} [options] smaller
   *   views than `minPreviewPixels` need no preview; the limits are those of `SanrFile`
   */
  async open(content, defaultWeights, options = {}) {
    const { minPreviewPixels = MIN_PREVIEW_PIXELS, maxPixels, maxWork } = options;
    const worker = this.makeWorker();
    const { header, nBytes, metadata } = await ask(worker, {
      kind: "open", content, defaultWeights, maxPixels, maxWork,
    });
    Object.assign(this, { header, nBytes, metadata });
    this.state.v = (header.n_v - 1) / 2;
    this.state.u = (header.n_u - 1) / 2;
    this.tell("opened");
    const hasPreview = header.height * header.width >= minPreviewPixels;
    const levels = hasPreview ? [PREVIEW_LEVEL, 0] : [0];
    for (const level of levels) {
      const { scene } = await ask(worker, { kind: "build", level });
      await this.idle;
      this.useScene(scene);
      await this.draw();
      this.tell(level > 0 ? "preview" : "ready");
    }
    worker.terminate();
  }

  useScene(scene) {
    this.scene = scene;
    const [height, width] = viewShape(scene.header, scene.level);
    this.range = rangeOf(scene);
    this.nSlow = 0;
    if (this.renderer && this.renderer.setScene(scene, height, width)) return;
    const isForced = this.wanted === "webgl2";
    const renderer = this.wanted === "workers" ? null : GlRenderer.on(this.newCanvas(), isForced);
    if (renderer && renderer.setScene(scene, height, width)) {
      this.renderer = renderer;
      this.canvas.addEventListener("webglcontextlost", () => this.loseGl());
      return;
    }
    this.useWorkers();
  }

  useWorkers() {
    const { scene } = this;
    this.renderer = new PoolRenderer(this.newCanvas(), this.makeWorker);
    this.renderer.setScene(scene, ...viewShape(scene.header, scene.level));
  }

  loseGl() {
    this.wanted = "workers";
    this.useWorkers();
    this.draw();
  }

  /** A canvas has one kind of context for its whole life. */
  newCanvas() {
    const canvas = document.createElement("canvas");
    if (this.canvas) this.canvas.replaceWith(canvas);
    else this.stage.append(canvas);
    this.canvas = canvas;
    this.tell("canvas");
    return canvas;
  }

  /** Change what is shown; the promise ends when it is. */
  set(changes) {
    const { n_v: nV, n_u: nU } = this.header;
    Object.assign(this.state, changes);
    this.state.v = Math.max(0, Math.min(nV - 1, this.state.v));
    this.state.u = Math.max(0, Math.min(nU - 1, this.state.u));
    if (!("target" in changes)) this.target = null;
    this.tell("change");
    return this.draw();
  }

  /** Move by some views, smoothly. */
  step(dv, du) {
    const { n_v: nV, n_u: nU } = this.header;
    const from = this.target ?? this.state;
    this.target = {
      v: Math.max(0, Math.min(nV - 1, from.v + dv)),
      u: Math.max(0, Math.min(nU - 1, from.u + du)),
    };
    return this.draw();
  }

  /** The disparity that is seen at a pixel, Q9, or null without geometry. */
  disparityAt(y, x) {
    const { scene, state } = this;
    if (scene.layers.length === 0) return null;
    const [pose] = posesOf(scene, { ...state, aperture: 0 });
    return renderDisparity(scene, pose, [y, y + 1, x, x + 1])[0];
  }

  /** Samples of a view as numbers, `[height, width, channels]`: what the canvas is drawn from. */
  async samples(v, u) {
    await this.idle;
    const [pose] = posesOf(this.scene, { v, u, aperture: 0 });
    this.renderer.add(pose, true, false);
    const sums = await this.renderer.sums();
    const { channels } = this.header;
    const out = new Uint16Array((sums.length / 4) * channels);
    for (let i = 0, to = 0; i < sums.length; i += 4) {
      for (let c = 0; c < channels; c++) out[to++] = sums[i + c];
    }
    this.draw();
    return out;
  }

  draw() {
    this.isDirty = true;
    if (!this.isRunning && this.renderer) {
      this.isRunning = true;
      this.idle = this.run().finally(() => (this.isRunning = false));
      this.idle.catch((error) => this.tell("failure", error));
    }
    return this.idle;
  }

  async run() {
    let before = performance.now();
    let movedAt = before;
    let wasMoved = false;
    await nextFrame();
    while (
      this.isDirty || this.isRough || this.pending.length > 0 || this.target || this.state.turning
    ) {
      const now = performance.now();
      if (wasMoved && !this.isSlow) this.nSlow = now - before > SLOW_MS ? this.nSlow + 1 : 0;
      this.move(now - before);
      before = now;
      wasMoved = this.isDirty;
      if (wasMoved) movedAt = now;
      const isFirst = wasMoved || (this.isRough && now - movedAt > SETTLE_MS);
      if (isFirst) {
        this.isDirty = false;
        this.isRough = wasMoved && this.isSlow && this.canBeRough;
        this.pending = posesOf(this.scene, this.state);
      }
      await this.addSome(isFirst);
      // Waiting for the screen would only add to what took longer than its frame.
      await (performance.now() - now < FRAME_MS ? nextFrame() : nextTask());
    }
  }

  /** Whether views take so long that whole ones would not move smoothly. */
  get isSlow() {
    return this.nSlow >= MIN_SLOW;
  }

  get canBeRough() {
    return this.renderer.hasRough && this.state.aperture === 0 && !this.state.overlay;
  }

  /** Add as many of the pending views as a frame has time for, and show the mean. */
  async addSome(isFirst) {
    const { renderer, state } = this;
    const fitting = (budget) => Math.max(1, Math.floor(budget / this.msPerView));
    const rough = isFirst ? Math.min(MIN_BATCH, fitting(FIRST_BUDGET_MS)) : 1;
    const n = Math.min(this.pending.length, Math.max(rough, fitting(BUDGET_MS)));
    if (n === 0) return;
    const start = performance.now();
    for (const [i, pose] of this.pending.splice(0, n).entries()) {
      const begins = isFirst && i === 0;
      renderer.add(pose, begins, begins && state.overlay);
    }
    const stride = this.isRough ? 2 : 1;
    await renderer.present({ overlay: state.overlay ? OVERLAY : 0, range: this.range, stride });
    if ((await renderer.finish()) && !this.isRough) {
      const took = Math.max((performance.now() - start) / n, 0.1);
      this.msPerView = 0.8 * this.msPerView + 0.2 * took;
      if (took < SLOW_MS / 2) this.nSlow = 0; // other programs were in the way
    }
    this.nDrawn += n;
    this.tell("drawn");
  }

  /** Bring the viewpoint further on its way. */
  move(ms) {
    const { state, header } = this;
    if (state.turning) {
      this.angle = (this.angle ?? 0) + (2 * Math.PI * ms) / TURN_MS;
      state.v = ((header.n_v - 1) / 2) * (1 + Math.sin(this.angle));
      state.u = ((header.n_u - 1) / 2) * (1 + Math.cos(this.angle));
      this.target = null;
    } else if (this.target) {
      const part = 1 - Math.exp(-ms / EASE_MS);
      for (const axis of ["v", "u"]) {
        const rest = this.target[axis] - state[axis];
        state[axis] = Math.abs(rest) < 0.01 ? this.target[axis] : state[axis] + rest * part;
      }
      if (state.v === this.target.v && state.u === this.target.u) this.target = null;
    } else {
      return;
    }
    this.isDirty = true;
    this.tell("change");
  }

  tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function nextFrame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

function nextTask() {
  return new Promise((resolve) => setTimeout(resolve));
}

/** Disparities of what is far and of what is near, Q9: all but one in a hundred lie between. */
function rangeOf({ layers, columns, rows }) {
  if (layers.length === 0) return [1, 0];
  const counts = new Uint32Array(65536);
  for (const value of layers[0].disparity) counts[value + 32768]++;
  const n = rows * columns;
  const quantile = (part) => {
    let seen = 0;
    let value = 0;
    while (value < 65535 && seen + counts[value] <= part * n) seen += counts[value++];
    return value - 32768;
  };
  const near = quantile(0.01);
  return [Math.max(quantile(0.99), near + 1), near];
}
