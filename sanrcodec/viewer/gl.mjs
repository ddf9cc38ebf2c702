// SPDX-License-Identifier: MIT
/**
 * @file Makes and shows views by WebGL2: one fragment pass a view. Must not know of the page.
 */
import { hasSlopes } from "./header.mjs";
import { PALETTE } from "./palette.mjs";
import { LANES } from "./planes.mjs";
import { nSlices } from "./scene.mjs";
import { isShadable, SHOW_SHADER, VERTEX_SHADER, viewShader } from "./shader.mjs";
import { anglesOf, constantsOf, originOf, slopeWeightsOf } from "./views.mjs";

/** Draws means of views of a scene on a canvas. */
export class GlRenderer {
  kind = "WebGL2";
  hasRough = true;

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {boolean} isForced use an imitated graphics card, too
   * @returns {GlRenderer | null} null where there is no WebGL2
   */
  static on(canvas, isForced) {
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false });
    if (gl === null || (isImitated(gl) && !isForced)) return null;
    return new GlRenderer(canvas, gl);
  }

  constructor(canvas, gl) {
    this.canvas = canvas;
    this.gl = gl;
    this.show = link(gl, SHOW_SHADER);
    this.owned = []; // textures of the scene
    this.programs = []; // that make views for the screen, and for sums
    this.waiting = null; // a first view, of which it is not yet known what becomes of it
  }

  /**
   * Take a scene.
   * @returns {boolean} false if the graphics card cannot make its views
   */
  setScene(scene, height, width) {
    const { gl } = this;
    const { header, rows, columns } = scene;
    const count = nSlices(header);
    const nLayers = Math.max(1, header.layers);
    const factor = header.layers > 0 ? 2 : 1;
    const limit = gl.getParameter(gl.MAX_TEXTURE_SIZE);
    if (!isShadable(scene) || factor * Math.max(rows, columns) > limit) return false;
    if (count * nLayers > gl.getParameter(gl.MAX_ARRAY_TEXTURE_LAYERS)) return false;
    this.forget();
    this.programs = [true, false].map((isForScreen) => link(gl, viewShader(scene, isForScreen)));
    if (this.programs.includes(null)) return false;

    this.samples = this.texture(gl.TEXTURE_2D_ARRAY);
    const size = [factor * columns, factor * rows];
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RGBA32I, ...size, count * nLayers);
    const upload = (slice, values) =>
      gl.texSubImage3D(
        gl.TEXTURE_2D_ARRAY, 0, 0, 0, slice, ...size, 1, gl.RGBA_INTEGER, gl.INT,
        new Int32Array(values.buffer), // lanes in pairs: little-endian, as every browser's host
      );
    if (header.layers === 0) {
      for (let s = 0; s < count; s++) upload(s, sideBySide(scene.features, s * LANES, LANES));
    }
    scene.layers.forEach((layer, i) => {
      layer.slices.slice(0, count).forEach((values, s) => upload(i * count + s, values));
    });
    this.disparities = this.texture(gl.TEXTURE_2D_ARRAY);
    gl.texStorage3D(gl.TEXTURE_2D_ARRAY, 1, gl.RG16I, columns, rows, nLayers);
    gl.pixelStorei(gl.UNPACK_ALIGNMENT, 1);
    scene.layers.forEach(({ nearest, disparity }, i) => {
      const both = sideBySide([nearest, disparity], 0, 2);
      const place = [0, 0, i, columns, rows, 1];
      gl.texSubImage3D(gl.TEXTURE_2D_ARRAY, 0, ...place, gl.RG_INTEGER, gl.SHORT, both);
    });
    // The sums of views so far, and those with one more.
    this.targets = [0, 1].map(() => {
      const texture = this.texture(gl.TEXTURE_2D);
      gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32UI, width, height);
      const frame = gl.createFramebuffer();
      gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
      return { texture, frame };
    });
    Object.assign(this, { scene, height, width, nViews: 0 });
    this.resize(1);
    return gl.getError() === gl.NO_ERROR;
  }

  /** Add a view to the mean; the first one begins it. */
  add(pose, isFirst) {
    if (isFirst) {
      // Alone it goes to the screen without a detour.
      this.nViews = 1;
      this.waiting = pose;
      return;
    }
    this.flush();
    this.addToSums(pose, false);
    this.nViews += 1;
  }

  /**
   * Show the mean, under disparities as colors. A single view may be rough, by a stride of 2: it
   * takes a quarter of the time.
   */
  present({ overlay, range, stride }) {
    const { gl, show } = this;
    const isAlone = this.waiting !== null && overlay === 0;
    this.resize(isAlone ? stride : 1);
    if (isAlone) {
      const [program] = this.programs;
      this.prepare(program, this.waiting, null);
      gl.viewport(0, 0, this.canvas.width, this.canvas.height);
      gl.uniform1i(program.at("height"), this.canvas.height);
      gl.uniform1i(program.at("stride"), stride);
      gl.drawArrays(gl.TRIANGLES, 0, 3);
      return;
    }
    this.flush();
    const peak = 2 ** this.scene.header.bit_depth - 1;
    gl.useProgram(show.id);
    gl.bindFramebuffer(gl.FRAMEBUFFER, null);
    gl.viewport(0, 0, this.width, this.height);
    gl.activeTexture(gl.TEXTURE0);
    gl.bindTexture(gl.TEXTURE_2D, this.targets[0].texture);
    gl.uniform1i(show.at("sums"), 0);
    gl.uniform1i(show.at("height"), this.height);
    gl.uniform1f(show.at("unit"), 1 / (peak * this.nViews));
    gl.uniform1f(show.at("overlay"), overlay);
    gl.uniform2f(show.at("range"), ...range);
    gl.uniform3fv(show.at("colors"), PALETTE.flat().map((value) => value / 255));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
  }

  resize(stride) {
    const { canvas } = this;
    const [height, width] = [this.height, this.width].map((n) => Math.ceil(n / stride));
    // Even the same size would clear the canvas.
    if (canvas.height !== height) canvas.height = height;
    if (canvas.width !== width) canvas.width = width;
  }

  /** Wait until the mean is computed, which tells how long views take; false if there is none. */
  async finish() {
    const { gl } = this;
    if (this.waiting !== null) return false;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.targets[0].frame);
    gl.readPixels(0, 0, 1, 1, gl.RGBA_INTEGER, gl.UNSIGNED_INT, new Uint32Array(4));
    return true;
  }

  /** The sums of the views so far: Uint32Array `[height, width, 4]`, disparity + 32768 last. */
  async sums() {
    const { gl, width, height } = this;
    this.flush();
    const out = new Uint32Array(width * height * 4);
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.targets[0].frame);
    gl.readPixels(0, 0, width, height, gl.RGBA_INTEGER, gl.UNSIGNED_INT, out);
    return out;
  }

  flush() {
    if (this.waiting === null) return;
    this.addToSums(this.waiting, true);
    this.waiting = null;
  }

  addToSums(pose, isFirst) {
    const { gl } = this;
    const [from, to] = this.targets;
    const program = this.programs[1];
    this.prepare(program, pose, to.frame);
    gl.activeTexture(gl.TEXTURE2);
    gl.bindTexture(gl.TEXTURE_2D, from.texture);
    gl.uniform1i(program.at("before"), 2);
    gl.uniform1i(program.at("isFirst"), isFirst ? 1 : 0);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    this.targets.reverse();
  }

  /** Set what a view needs, for a target. */
  prepare(program, pose, frame) {
    const { gl, scene } = this;
    const { header, level } = scene;
    gl.useProgram(program.id);
    gl.bindFramebuffer(gl.FRAMEBUFFER, frame);
    gl.viewport(0, 0, this.width, this.height);
    [this.samples, this.disparities].forEach((texture, unit) => {
      gl.activeTexture(gl.TEXTURE0 + unit);
      gl.bindTexture(gl.TEXTURE_2D_ARRAY, texture);
    });
    gl.uniform1i(program.at("samples"), 0);
    gl.uniform1i(program.at("disparities"), 1);
    gl.uniform2i(program.at("angles"), pose.av, pose.au);
    const originY = originOf(header.margin_y, pose.shiftY, level);
    const originX = originOf(header.margin_x, pose.shiftX, level);
    gl.uniform2i(program.at("origin"), originY, originX);
    gl.uniform1i(program.at("offset"), pose.offset);
    gl.uniform1i(program.at("gain"), pose.gain);
    if (hasSlopes(header)) {
      gl.uniform2i(program.at("slopeWeights"), ...slopeWeightsOf(header, pose));
    }
    if (header.view_depth > 0) {
      gl.uniform1iv(program.at("constants"), constantsOf(scene, anglesOf(header, pose)));
    }
  }

  texture(kind) {
    const { gl } = this;
    const texture = gl.createTexture();
    gl.bindTexture(kind, texture);
    gl.texParameteri(kind, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(kind, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    this.owned.push(texture);
    return texture;
  }

  forget() {
    const { gl } = this;
    for (const texture of this.owned) gl.deleteTexture(texture);
    for (const { frame } of this.targets ?? []) gl.deleteFramebuffer(frame);
    for (const program of this.programs) if (program) gl.deleteProgram(program.id);
    this.owned = [];
    this.targets = [];
  }
}

/** Whether the processor plays the graphics card, which takes longer than threads do. */
function isImitated(gl) {
  const names = gl.getExtension("WEBGL_debug_renderer_info");
  const name = gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
  return /swiftshader|llvmpipe|softpipe|basic render/i.test(name);
}

/** Some planes as lanes of one: `n` lanes from plane `first` on; 0 where there is no plane. */
function sideBySide(planes, first, n) {
  const out = new Int16Array(planes[0].length * n);
  planes.slice(first, first + n).forEach((plane, lane) => {
    for (let i = 0, to = lane; i < plane.length; i++, to += n) out[to] = plane[i];
  });
  return out;
}

/** A program and the places of its uniforms; null if it cannot be made here. */
function link(gl, fragment) {
  const id = gl.createProgram();
  const sources = [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, fragment]];
  for (const [kind, source] of sources) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, source);
    gl.compileShader(shader);
    gl.attachShader(id, shader);
    gl.deleteShader(shader);
  }
  gl.linkProgram(id);
  if (!gl.getProgramParameter(id, gl.LINK_STATUS)) return null;
  const places = new Map();
  const at = (name) => {
    if (!places.has(name)) places.set(name, gl.getUniformLocation(id, name));
    return places.get(name);
  };
  return { id, at };
}
