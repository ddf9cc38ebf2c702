// SPDX-License-Identifier: MIT
/**
 * @file The fragment shaders that make views and show them. Must not call WebGL.
 * Integers of 32 bits hold all sums of format_spec.md section 8 (section 7.4 there).
 */
import { hasSlopes, slopePlane } from "./header.mjs";
import { LANES } from "./planes.mjs";
import { nSharedSlices, nSlices } from "./scene.mjs";

const MAX_FEATURE = 32767;
const MAX_COLOR = 65534;
const MAX_TERMS = 6000; // of the view network, each a product in the shader's text

/** Whether the shader of a scene has a length that compilers take. */
export function isShadable({ header }) {
  const nTerms = viewLayers(header).reduce((n, layer) => n + layer.nInputs * layer.nOutputs, 0);
  return nTerms <= MAX_TERMS;
}

function viewLayers(header) {
  const layers = [];
  let nInputs = header.features + (header.spatial ? 4 : 2);
  for (let i = 0; i < header.view_depth; i++) {
    layers.push({ name: `view.hidden${i}`, nInputs, nOutputs: header.view_hidden });
    nInputs = header.view_hidden;
  }
  if (header.view_depth > 0) {
    layers.push({ name: "view.output", nInputs, nOutputs: header.channels });
  }
  return layers;
}

export const VERTEX_SHADER = `#version 300 es
void main() {
  // One triangle covers all.
  gl_Position = vec4(4 * (gl_VertexID & 1) - 1, 2 * (gl_VertexID & 2) - 1, 0, 1);
}`;

const SCREEN_TARGET = `
uniform int height;
uniform int stride; // 2 makes a rough picture, of a quarter of the pixels
out vec4 color;
ivec2 pixel() { return ivec2(int(gl_FragCoord.x), height - 1 - int(gl_FragCoord.y)); }
void store(ivec2 p, uvec3 rgb, int d, int peak) { color = vec4(vec3(rgb) / float(peak), 1); }`;

const SUM_TARGET = `
const int stride = 1;
uniform usampler2D before;
uniform bool isFirst;
out uvec4 color;
ivec2 pixel() { return ivec2(gl_FragCoord.xy); }
void store(ivec2 p, uvec3 rgb, int d, int peak) {
  if (isFirst) color = uvec4(rgb, d + 32768);
  else color = texelFetch(before, p, 0) + uvec4(rgb, 0);
}`;

/** A texel holds a slice: two lanes, of 16 bits each, in each of its four integers. */
const UNPACK = `
ivec4 evenLanes(ivec4 texel) { return (texel << 16) >> 16; }
ivec4 oddLanes(ivec4 texel) { return texel >> 16; }`;

/** Name of a variable that holds every other lane of a slice; and a lane of it. */
const lanes = (slice, isOdd) => `${isOdd ? "odd" : "even"}_${slice}`;
const laneOf = (j, prefix = "") =>
  `${prefix}${lanes(Math.floor(j / LANES), j & 1)}.${"xyzw"[(j % LANES) >> 1]}`;

/**
 * The shader that makes a view: straight for the screen, or added to the sums of views before it.
 * Sums are RGB, then what disparity one sees, of the first view, plus 32768; their rows run from
 * the top.
 * @param {import("./scene.mjs").Scene} scene
 * @param {boolean} isForScreen
 */
export function viewShader(scene, isForScreen) {
  const { header } = scene;
  return `#version 300 es
precision highp int;
precision highp float;
precision highp isampler2DArray;
precision highp usampler2D;
uniform isampler2DArray samples;
uniform isampler2DArray disparities; // nearest and own
${isForScreen ? SCREEN_TARGET : SUM_TARGET}
uniform ivec2 angles; // av, au
uniform ivec2 origin; // y, x
${hasSlopes(header) ? "uniform ivec2 slopeWeights; // y, x" : ""}
uniform int offset;
uniform int gain;
${header.view_depth > 0 ? `uniform int constants[${header.view_hidden}];` : ""}

int rshift(int x, int n) { return (x + (1 << (n - 1))) >> n; }
int leaky(int y) { return max(y, y >> 3); }
int layer(int sum, int shift) { return clamp(rshift(sum, shift), -${MAX_FEATURE}, ${MAX_FEATURE}); }

// rshift(sum * peak, 24) within 0..peak, without a product of more than 31 bits.
uint sampleOf(int sum) {
  const int peak = ${2 ** header.bit_depth - 1};
  int s = clamp(sum, 0, 1 << 24);
  return uint(min(peak, ((s >> 12) * peak + (((s & 4095) * peak + (1 << 23)) >> 12)) >> 12));
}

${UNPACK}
${header.layers > 0 ? layerFunctions(scene) : ""}

void main() {
  ivec2 p = stride * pixel();
  int d = 0;
${header.layers > 0 ? layeredSampling(header) : plainSampling(scene)}
${networkCode(scene)}
  for (int i = 0; i < ${header.channels}; i++) {
    c[i] = clamp(rshift(gain * c[i], 10), -${MAX_COLOR}, ${MAX_COLOR});
  }
  c[0] += offset;
${colorCode(header)}
  store(p, rgb, d, ${2 ** header.bit_depth - 1});
}`;
}

function plainSampling({ header, level }) {
  const [top, left] = [header.margin_y, header.margin_x].map(
    (margin) => (2 * margin + (1 << level)) >> (level + 1),
  );
  const lines = [];
  for (let s = 0; s < nSlices(header); s++) {
    lines.push(
      `  ivec4 texel_${s} = texelFetch(samples, ivec3(p + ivec2(${left}, ${top}), ${s}), 0);`,
      `  ivec4 ${lanes(s, false)} = evenLanes(texel_${s});`,
      `  ivec4 ${lanes(s, true)} = oddLanes(texel_${s});`,
    );
  }
  return lines.join("\n");
}

function layerFunctions({ header, level, rows, columns }) {
  const shift = 12 + level;
  return `
// Where a pixel sees a layer: y and x in Q5; and its disparity.
ivec3 find(int number, ivec2 base) {
  ivec2 q = base;
  int d = 65536;
  for (int round = 0; round < 4; round++) {
    ivec2 at = clamp((q + 16) >> 5, ivec2(0), ivec2(${rows - 1}, ${columns - 1}));
    ivec2 both = texelFetch(disparities, ivec3(at.y, at.x, number), 0).xy;
    int found = round == 0 ? both.x : both.y;
    if (found == d) break;
    d = found;
    q = base - ((angles * d + ${1 << (shift - 1)}) >> ${shift});
  }
  return ivec3(clamp(q, ivec2(0), 32 * ivec2(${rows - 1}, ${columns - 1})), d);
}

void bilinear(int slice, ivec3 q, out ivec4 even, out ivec4 odd) {
  ivec3 at = ivec3(q.y >> 4, q.x >> 4, slice);
  int fy = q.x & 15;
  int fx = q.y & 15;
  int w11 = fy * fx;
  int w10 = 16 * fy - w11;
  int w01 = 16 * fx - w11;
  int w00 = 256 - w10 - w01 - w11;
  ivec4 a = texelFetch(samples, at, 0);
  ivec4 b = texelFetch(samples, at + ivec3(1, 0, 0), 0);
  ivec4 c = texelFetch(samples, at + ivec3(0, 1, 0), 0);
  ivec4 d = texelFetch(samples, at + ivec3(1, 1, 0), 0);
  even = (w00 * evenLanes(a) + w01 * evenLanes(b)
    + w10 * evenLanes(c) + w11 * evenLanes(d) + 128) >> 8;
  odd = (w00 * oddLanes(a) + w01 * oddLanes(b)
    + w10 * oddLanes(c) + w11 * oddLanes(d) + 128) >> 8;
}`;
}

/** Front to back as far as one can see: what is behind full visibility adds nothing. */
function layeredSampling(header) {
  const { layers, features } = header;
  const [count, nShared] = [nSlices(header), nSharedSlices(header)];
  // Rough pixels are in the middle of those that they stand for.
  const lines = ["  ivec2 base = 32 * p.yx + origin + 16 * (stride - 1);"];
  const each = (code) => {
    for (let s = 0; s < nShared; s++) {
      for (const isOdd of [false, true]) lines.push(code(lanes(s, isOdd), s));
    }
  };
  const fetchAll = (i, prefix) => {
    for (let s = 0; s < nShared; s++) lines.push(fetch(i, s, prefix));
    if (i > 0 || !hasSlopes(header)) return;
    for (let s = nShared; s < count; s++) {
      for (const isOdd of [false, true]) lines.push(`  ivec4 ${prefix}${lanes(s, isOdd)};`);
      lines.push(fetch(i, s, prefix));
    }
    lines.push(...slopeCode(header, prefix));
  };
  each((name) => `  ivec4 ${name} = ivec4(0);`);
  const fetch = (i, s, prefix) =>
    `  bilinear(${i * count + s}, q${i}, ${prefix}${lanes(s, false)}, ${prefix}${lanes(s, true)});`;
  const addLayer = (i) => {
    lines.push(`  ivec3 q${i} = find(${i}, base);`);
    if (i === layers - 1) {
      lines.push(`  d = q${i}.z;`);
      fetchAll(i, "");
      return;
    }
    const prefix = `layer${i}_`;
    each((name) => `  ivec4 ${prefix}${name};`);
    fetchAll(i, prefix);
    lines.push(`  int m${i} = clamp((${laneOf(features, prefix)} + 8) >> 4, 0, 256);`);
    lines.push(`  if (m${i} < 256) {`);
    addLayer(i + 1);
    lines.push("  }");
    each((name) => `  ${name} += (m${i} * (${prefix}${name} - ${name}) + 128) >> 8;`);
    lines.push(`  if (m${i} >= 128) d = q${i}.z;`);
  };
  addLayer(0);
  return lines.join("\n");
}

/** The colors of the front layer change with the place of the view. */
function slopeCode(header, prefix) {
  const { channels } = header;
  const first = slopePlane(header);
  return Array.from({ length: channels }, (_, c) => {
    const [color, alongY, alongX] = [c, first + c, first + channels + c].map(
      (j) => laneOf(j, prefix),
    );
    const change = `rshift(slopeWeights.x * ${alongY} + slopeWeights.y * ${alongX}, 7)`;
    return `  ${color} = clamp(${color} + ${change}, -${MAX_FEATURE}, ${MAX_FEATURE});`;
  });
}

function networkCode({ header, level, viewWeights }) {
  const lines = [`  int c[${header.channels}];`];
  for (let i = 0; i < header.channels; i++) lines.push(`  c[${i}] = ${laneOf(i)};`);
  if (header.view_depth === 0) return lines.join("\n");
  // The angles are the same in the whole view: what they add is among the constants.
  let inputs = Array.from({ length: header.features }, (_, j) => laneOf(j));
  inputs.push(null, null);
  if (header.spatial) {
    for (const [name, size] of [["y", header.height], ["x", header.width]]) {
      // Never negative before the subtraction: the division rounds down.
      const value = `((2 * p.${name} + 1) << ${12 + level}) / ${size} - 4096`;
      lines.push(`  int at_${name} = clamp(${value}, -4096, 4095);`);
      inputs.push(`at_${name}`);
    }
  }
  viewLayers(header).forEach(({ name, nInputs, nOutputs }, depth) => {
    const weight = viewWeights[`${name}.weight`];
    const bias = viewWeights[`${name}.bias`];
    const isLast = depth === header.view_depth;
    const outputs = [];
    for (let j = 0; j < nOutputs; j++) {
      const terms = [depth === 0 ? `constants[${j}]` : String(bias[j] * 2 ** 9)];
      for (let k = 0; k < nInputs; k++) {
        const w = weight[j * nInputs + k];
        if (w !== 0 && inputs[k] !== null) terms.push(`(${w}) * ${inputs[k]}`);
      }
      const value = `layer(${terms.join(" + ")}, 7)`;
      if (isLast) {
        lines.push(`  c[${j}] += ${value};`);
      } else {
        outputs.push(`h${depth}_${j}`);
        lines.push(`  int h${depth}_${j} = leaky(${value});`);
      }
    }
    inputs = outputs;
  });
  return lines.join("\n");
}

function colorCode({ channels }) {
  if (channels === 1) return "  uvec3 rgb = uvec3(sampleOf(c[0] << 12));";
  return `  int luma = c[0] << 12;
  uvec3 rgb = uvec3(
    sampleOf(luma + 6450 * c[2]),
    sampleOf(luma - 767 * c[1] - 1917 * c[2]),
    sampleOf(luma + 7601 * c[1]));`;
}

/**
 * The shader that shows the mean of views, and disparities as colors where `overlay` is above 0.
 */
export const SHOW_SHADER = `#version 300 es
precision highp int;
precision highp float;
precision highp usampler2D;
uniform usampler2D sums;
uniform int height;
uniform float unit; // 1 / (peak * number of views)
uniform float overlay; // opacity
uniform vec2 range; // disparities shown as the first and last color
uniform vec3 colors[8];
out vec4 color;

void main() {
  ivec2 p = ivec2(gl_FragCoord.xy);
  uvec4 sum = texelFetch(sums, ivec2(p.x, height - 1 - p.y), 0);
  float at = (float(sum.a) - 32768.0 - range.x) / (range.y - range.x);
  float place = clamp(at, 0.0, 1.0) * 7.0;
  int first = min(int(place), 6);
  vec3 depth = mix(colors[first], colors[first + 1], place - float(first));
  color = vec4(mix(vec3(sum.rgb) * unit, depth, overlay), 1);
}`;
