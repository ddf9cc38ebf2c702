// SPDX-License-Identifier: MIT
/**
 * @file Decoder of .sanr light fields, written from format_spec.md: the entry point of the module.
 * Needs nothing but the language. The samples are those of the Python decoder, bit by bit.
 *
 *     import { SanrFile } from "./decoder.mjs";
 *     const file = new SanrFile(bytes, { defaultWeights });  // parsed default_weights.json
 *     const { samples, height, width, channels } = file.view(4, 4);
 */
import {
  FORMAT_VERSION, HEADER, LATENTS, METADATA, readSections, RESIDUALS, WEIGHTS,
} from "./container.mjs";
import { LightFieldError, SanrError } from "./errors.mjs";
import { codingOrder, readHeader, viewShape } from "./header.mjs";
import { checkCost } from "./limits.mjs";
import { addResiduals, nBlocks, readResiduals } from "./residuals.mjs";
import { buildScene, finestLevel } from "./scene.mjs";
import { readLatents, readWeights } from "./streams.mjs";
import { poseOf, renderDisparity, renderView } from "./views.mjs";

export * from "./errors.mjs";
export { FORMAT_VERSION, poseOf, renderDisparity, renderView };

const SCALES = [1, 1 / 2, 1 / 4, 1 / 8]; // of a view; the index is its level
const MAX_SCENE_BYTES = 2 ** 31;

/** An opened .sanr file, whose views decode on demand. */
export class SanrFile {
  #table;
  #limits;
  #weights = null;
  #unread = null; // grids that are still coded
  #grids = [];
  #scenes = new Map();
  #residuals = null;

  /**
   * Check the sections and the header; nothing is decoded yet.
   * @param {ArrayBufferView | ArrayBuffer | SharedArrayBuffer} content the whole file
   * @param {object} options
   * @param {Record<string, unknown>} options.defaultWeights parsed default_weights.json, a part of
   *   the format (section 5.4)
   * @param {number} [options.maxSceneBytes] beyond which a scene is refused
   * @param {number} [options.maxPixels] that the canvases of all layers may have
   * @param {number} [options.maxWork] multiply-accumulates that the first view may take; less by
   *   default for files of few bytes. Both are compared before a view of a new scale is decoded.
   */
  constructor(content, options = {}) {
    const { defaultWeights, maxSceneBytes = MAX_SCENE_BYTES, maxPixels, maxWork } = options;
    for (const [name, limit] of Object.entries({ maxSceneBytes, maxPixels, maxWork })) {
      if (limit !== undefined && !(typeof limit === "number" && limit >= 0)) {
        const found = typeof limit === "number" ? limit : `a ${typeof limit}`;
        throw new LightFieldError(`${name} is ${found}, expected 0 or more; Infinity lifts it`);
      }
    }
    if (Object.keys(defaultWeights ?? {}).length === 0 || typeof defaultWeights !== "object") {
      throw new SanrError("defaultWeights is none, expected the parsed default_weights.json");
    }
    const bytes = bytesOf(content);
    this.nBytes = bytes.length;
    this.sections = readSections(bytes);
    this.header = Object.freeze(readHeader(this.sections.get(HEADER).payload));
    this.#table = defaultWeights;
    this.#limits = { maxSceneBytes, maxPixels, maxWork };
  }

  /** Angular size `[V, U]`. */
  get grid() {
    return [this.header.n_v, this.header.n_u];
  }

  /** Shape `[V, U, H, W, C]` of the light field. */
  get shape() {
    const { n_v: nV, n_u: nU, height, width, channels } = this.header;
    return [nV, nU, height, width, channels];
  }

  /** Bits per sample, 8..16. */
  get bitDepth() {
    return this.header.bit_depth;
  }

  /** What the METADATA section says, or null where there is none that can be read. */
  get metadata() {
    const section = this.sections.get(METADATA);
    if (section === undefined) return null;
    try {
      return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(section.payload));
    } catch {
      return null;
    }
  }

  /** Weights of the networks by name, Int32Array in C order. */
  get weights() {
    if (this.#weights === null) {
      const { payload } = this.sections.get(WEIGHTS);
      this.#weights = readWeights(this.header, payload, this.#table);
    }
    return this.#weights;
  }

  /** All latent grids in coding order. */
  get latents() {
    checkCost(this.header, this.nBytes, 0, this.#limits, this.#nFlags(0));
    return this.#latentsFrom(0);
  }

  /**
   * Decode a view.
   * @param {number} v row of the view; fractions give views in between
   * @param {number} u column of the view
   * @param {object} [options]
   * @param {number} [options.scale] 1, 1/2, 1/4 or 1/8
   * @param {[number, number, number, number]} [options.region] `[y0, y1, x0, x1]` in pixels of the
   *   scaled view, half open
   * @returns {{samples: Uint8Array | Uint16Array, height: number, width: number,
   *   channels: number, bitDepth: number}} samples `[height, width, channels]` in C order
   */
  view(v, u, { scale = 1, region } = {}) {
    const level = levelOf(scale);
    const [height, width] = viewShape(this.header, level);
    const ends = Array.from(region ?? [0, height, 0, width]);
    const [y0, y1, x0, x1] = ends;
    if (ends.length !== 4 || !ends.every(Number.isInteger)
        || !(0 <= y0 && y0 < y1 && y1 <= height && 0 <= x0 && x0 < x1 && x1 <= width)) {
      throw new LightFieldError(
        `region ${y0}:${y1},${x0}:${x1} is empty or outside a view of ${height} x ${width} pixels`,
      );
    }
    const pose = this.pose(v, u, level);
    const samples = renderView(this.scene(level), pose, [y0, y1, x0, x1]);
    if (level === 0) this.#addResiduals(v, u, [y0, y1, x0, x1], samples);
    return {
      samples,
      height: y1 - y0,
      width: x1 - x0,
      channels: this.header.channels,
      bitDepth: this.bitDepth,
    };
  }

  /** Place of a view (section 8.1), for `renderView`. */
  pose(v, u, level = 0) {
    const { n_v: nV, n_u: nU } = this.header;
    if (typeof v !== "number" || typeof u !== "number") {
      throw new LightFieldError(`v is a ${typeof v} and u a ${typeof u}, expected two numbers`);
    }
    if (!(v >= 0 && v <= nV - 1 && u >= 0 && u <= nU - 1)) {
      throw new LightFieldError(
        `view ${v},${u} is outside this light field (${nV} x ${nU} views: v runs 0..${nV - 1}, ` +
          `u runs 0..${nU - 1})`,
      );
    }
    return poseOf(this.scene(level), roundHalfEven(256 * v), roundHalfEven(256 * u));
  }

  /** The canonical scene of a level, decoded once; plain data. */
  scene(level = 0) {
    if (SCALES[level] === undefined) {
      throw new LightFieldError(`level is ${level}, expected 0 to ${SCALES.length - 1}`);
    }
    if (!this.#scenes.has(level)) {
      checkCost(this.header, this.nBytes, level, this.#limits, this.#nFlags(level));
      const grids = this.#latentsFrom(finestLevel(level));
      const scene = buildScene(
        this.header, this.weights, grids, level, this.#limits.maxSceneBytes,
      );
      this.#scenes.set(level, scene);
    }
    return this.#scenes.get(level);
  }

  /** Let go of the scene of a level, for example after its memory went to another thread. */
  forget(level) {
    this.#scenes.delete(level);
  }

  /** Add what the file has of a view of the grid alone; positions between have nothing of it. */
  #addResiduals(v, u, region, samples) {
    const section = this.sections.get(RESIDUALS);
    const [row, column] = [roundHalfEven(256 * v) / 256, roundHalfEven(256 * u) / 256];
    if (section === undefined || !Number.isInteger(row) || !Number.isInteger(column)) return;
    this.#residuals ??= readResiduals(this.header, section.payload);
    addResiduals(
      this.header, this.#residuals[row * this.header.n_u + column], region, samples,
    );
  }

  /** Flags of residuals that a view of a level needs. */
  #nFlags(level) {
    return level === 0 && this.sections.has(RESIDUALS) ? nBlocks(this.header) : 0;
  }

  /** The grids of a level and of all coarser ones; decodes those that are not yet. */
  #latentsFrom(level) {
    const nWanted = codingOrder(this.header).filter((grid) => grid.level >= level).length;
    try {
      this.#unread ??= readLatents(
        this.header, this.weights, this.sections.get(LATENTS).payload,
      );
      while (this.#grids.length < nWanted) this.#grids.push(this.#unread.next().value);
      if (level === 0) this.#unread.next(); // checks the end of the stream
    } catch (error) {
      // The next view must meet it again.
      this.#unread = null;
      this.#grids = [];
      throw error;
    }
    return this.#grids.slice(0, nWanted);
  }
}

/** The bytes of the caller, without a copy where no other thread can change them. */
function bytesOf(content) {
  // Of another frame these are no instances of the classes of this one.
  const kind = Object.prototype.toString.call(content).slice(8, -1);
  if (ArrayBuffer.isView(content)) {
    return bytesOf(content.buffer).subarray(
      content.byteOffset, content.byteOffset + content.byteLength,
    );
  }
  if (kind === "ArrayBuffer") return new Uint8Array(content);
  if (kind === "SharedArrayBuffer") return new Uint8Array(content).slice();
  throw new SanrError(`content is of type ${kind}, expected an ArrayBuffer or a view of one`);
}

function levelOf(scale) {
  const level = SCALES.indexOf(scale);
  if (level < 0) throw new LightFieldError(`scale is ${scale}, expected 1, 1/2, 1/4 or 1/8`);
  return level;
}

/** Round to the nearest integer, halves to the even one, as Python does. */
function roundHalfEven(x) {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return rest < 0.5 ? floor : floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}
