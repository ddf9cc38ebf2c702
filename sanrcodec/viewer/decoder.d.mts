// SPDX-License-Identifier: MIT
/** Types of decoder.mjs; the comments there tell what they mean. */

export declare class SanrError extends Error {}
export declare class NotSanrError extends SanrError {}
export declare class UnsupportedVersionError extends SanrError {}
export declare class UnsupportedFeatureError extends SanrError {}
export declare class TruncatedError extends SanrError {}
export declare class CorruptSectionError extends SanrError {}
export declare class LimitError extends SanrError {}
/** A view, region or scale outside the light field was asked for. */
export declare class LightFieldError extends SanrError {}

/** `[major, minor]` of the files that this decoder reads. */
export declare const FORMAT_VERSION: readonly [number, number];

/** `[y0, y1, x0, x1]` in pixels, half open. */
export type Region = [number, number, number, number];

/** Parsed default_weights.json. */
export type DefaultWeights = Record<string, unknown>;

export interface Options {
  defaultWeights: DefaultWeights;
  /** Beyond which a scene is refused with a LimitError; 2^31 if not given. */
  maxSceneBytes?: number;
  /** Pixels that the canvases of all layers may have; 2^27 if not given. */
  maxPixels?: number;
  /** Multiply-accumulates that the first view may take; less for files of few bytes if not given. */
  maxWork?: number;
}

export interface ViewOptions {
  /** 1, 1/2, 1/4 or 1/8; 1 if not given. */
  scale?: number;
  /** In pixels of the scaled view; all of it if not given. */
  region?: Region;
}

/** A decoded view or a region of it: samples `[height, width, channels]` in C order. */
export interface View {
  samples: Uint8Array | Uint16Array;
  height: number;
  width: number;
  channels: number;
  bitDepth: number;
}

/** A latent grid: samples `[height, width]`. */
export interface Grid {
  group: number;
  level: number;
  height: number;
  width: number;
  samples: Int16Array;
}

/** A depth layer of a scene of `[rows, columns]` pixels. */
export interface Layer {
  /** Half samples `[2 * rows, 2 * columns, 8]`, eight features side by side; then visibility. */
  slices: Int16Array[];
  /** Pixels per view, Q9, `[rows, columns]`. */
  disparity: Int16Array;
  /** The least disparity within the margins' distance. */
  nearest: Int16Array;
}

/** The canonical scene: plain data, which threads can hand to each other. */
export interface Scene {
  header: Readonly<Record<string, number>>;
  level: number;
  rows: number;
  columns: number;
  viewWeights: Record<string, Int32Array>;
  /** Front to back; empty where there is no geometry. */
  layers: Layer[];
  /** Feature planes where there is no geometry. */
  features: Int16Array[];
}

/** Place of a view: angles in views, Q8; shifts in pixels, Q5; luma offset, Q12; gain, Q10. */
export interface Pose {
  av: number;
  au: number;
  shiftY: number;
  shiftX: number;
  offset: number;
  gain: number;
}

/** An opened .sanr file, whose views decode on demand. */
export declare class SanrFile {
  constructor(content: ArrayBufferView | ArrayBufferLike, options: Options);
  readonly nBytes: number;
  readonly sections: Map<number, { payload: Uint8Array; offset: number }>;
  /** The fields of section 4 of format_spec.md, by their names. */
  readonly header: Readonly<Record<string, number>>;
  /** `[V, U]`. */
  readonly grid: [number, number];
  /** `[V, U, H, W, C]`. */
  readonly shape: [number, number, number, number, number];
  readonly bitDepth: number;
  readonly metadata: unknown;
  readonly weights: Record<string, Int32Array>;
  readonly latents: Grid[];
  view(v: number, u: number, options?: ViewOptions): View;
  pose(v: number, u: number, level?: number): Pose;
  scene(level?: number): Scene;
  /** Let go of the scene of a level, for example after its memory went to another thread. */
  forget(level: number): void;
}

/** Place of a view whose row and column are told in 1/256. */
export declare function poseOf(scene: Scene, vq: number, uq: number): Pose;

/** Samples `[y1 - y0, x1 - x0, channels]` of a region of a view. */
export declare function renderView(
  scene: Scene, pose: Pose, region: Region,
): Uint8Array | Uint16Array;

/** The disparity that one sees, pixels per view, Q9, `[y1 - y0, x1 - x0]`; scenes with geometry only. */
export declare function renderDisparity(scene: Scene, pose: Pose, region: Region): Int16Array;
