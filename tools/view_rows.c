// SPDX-License-Identifier: MIT
//
// Rows of a view (format_spec.md section 8) by the vector instructions of WebAssembly.
// Must not know how a scene is decoded. tools/make_view_rows.py compiles it into
// sanrcodec/viewer/view_rows.mjs. sanrcodec/viewer/kernel.mjs fills `job`: it knows the order of
// its fields.
//
// All integers have 32 bits, or 16 where the format keeps values within -32767..32767.

#include <stdint.h>
#include <wasm_simd128.h>

#define MAX_LAYERS 4
#define MAX_SLICES 10 // 64 features, visibility and a coordinate, or slopes, in slices of 8 lanes
#define MAX_DENSE 5
#define MAX_FEATURE 32767
#define MAX_COLOR 65534

typedef struct {
  const v128_t *weights; // of four outputs at a time: pairs of inputs, each for four outputs
  const v128_t *constants; // bias, of four outputs at a time
  int32_t n_inputs; // slices of 8 lanes
  int32_t n_outputs; // groups of four
} dense;

typedef struct {
  const v128_t *slices; // half samples, `[slices, 2 * rows, 2 * columns, 8]`, 16 bits
  const int16_t *nearest; // `[rows, columns]`
  const int16_t *disparity;
} layer;

typedef struct {
  int32_t rows, columns, level, height, width; // height and width of a view of full size
  int32_t n_layers, channels, features, n_slices, n_slope_slices, slope_plane, has_slopes;
  int32_t n_dense, spatial, peak;
  int32_t av, au, origin_y, origin_x, gain, offset, slope_y, slope_x;
  layer layers[MAX_LAYERS];
  dense dense[MAX_DENSE]; // the constants of the first are those of a view
  v128_t *row_constants; // of the first
  const int32_t *row_weights; // of the first, of the row of a pixel; one for each output
  const int16_t *column_inputs; // coordinates of the columns
  int32_t *colors; // `[columns of the region, 4]`, scratch
} job;

job the_job;

static inline int32_t clamp(int32_t x, int32_t low, int32_t high) {
  return x < low ? low : x > high ? high : x;
}

/** Where a pixel sees a layer, as an index of half samples; and the fraction. */
static inline int32_t find(const job *j, const layer *l, int32_t by, int32_t bx, int32_t *fy,
                           int32_t *fx, int32_t *disparity) {
  const int32_t shift = 12 + j->level, half = 1 << (shift - 1);
  const int32_t last_row = j->rows - 1, last_column = j->columns - 1;
  const int16_t *plane = l->nearest;
  int32_t qy = by, qx = bx, before = 65536;
  for (int round = 0; round < 4; round++) {
    const int32_t row = clamp((qy + 16) >> 5, 0, last_row);
    const int32_t column = clamp((qx + 16) >> 5, 0, last_column);
    const int32_t d = plane[row * j->columns + column];
    if (d == before) break; // all further rounds find it again
    before = d;
    qy = by - ((j->av * d + half) >> shift);
    qx = bx - ((j->au * d + half) >> shift);
    plane = l->disparity;
  }
  qy = clamp(qy, 0, 32 * last_row);
  qx = clamp(qx, 0, 32 * last_column);
  *fy = qy & 15;
  *fx = qx & 15;
  *disparity = before;
  return (qy >> 4) * 2 * j->columns + (qx >> 4);
}

#define LOW(a, b) wasm_i16x8_shuffle(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) wasm_i16x8_shuffle(a, b, 4, 12, 5, 13, 6, 14, 7, 15)

/** `(x * wx + y * wy + 128) >> 8` of 8 lanes, with the weights as pairs. */
static inline v128_t mix(v128_t x, v128_t y, v128_t weights) {
  const v128_t half = wasm_i32x4_const_splat(128);
  const v128_t low = wasm_i32x4_dot_i16x8(LOW(x, y), weights);
  const v128_t high = wasm_i32x4_dot_i16x8(HIGH(x, y), weights);
  return wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(wasm_i32x4_add(low, half), 8),
                                 wasm_i32x4_shr(wasm_i32x4_add(high, half), 8));
}

static inline v128_t pair(int32_t a, int32_t b) {
  return wasm_i32x4_splat((a & 0xffff) | (b << 16));
}

/** Bilinear, 8 lanes (8.2). */
static inline v128_t bilinear(const v128_t *at, int32_t stride, v128_t upper, v128_t lower) {
  const v128_t half = wasm_i32x4_const_splat(128);
  const v128_t a = at[0], b = at[1], c = at[stride], d = at[stride + 1];
  v128_t low = wasm_i32x4_add(wasm_i32x4_dot_i16x8(LOW(a, b), upper),
                              wasm_i32x4_dot_i16x8(LOW(c, d), lower));
  v128_t high = wasm_i32x4_add(wasm_i32x4_dot_i16x8(HIGH(a, b), upper),
                               wasm_i32x4_dot_i16x8(HIGH(c, d), lower));
  return wasm_i16x8_narrow_i32x4(wasm_i32x4_shr(wasm_i32x4_add(low, half), 8),
                                 wasm_i32x4_shr(wasm_i32x4_add(high, half), 8));
}

/** Change the colors of the front layer with the place of the view (8.2). */
static inline v128_t with_slopes(const job *j, v128_t colors, const v128_t *lanes) {
  const int16_t *slopes = (const int16_t *)lanes + j->slope_plane;
  const v128_t along_y = wasm_v128_load(slopes);
  const v128_t along_x = wasm_v128_load(slopes + j->channels);
  const v128_t sum = wasm_i32x4_dot_i16x8(LOW(along_y, along_x), pair(j->slope_y, j->slope_x));
  const v128_t change = wasm_i32x4_shr(wasm_i32x4_add(sum, wasm_i32x4_const_splat(64)), 7);
  const v128_t changed = wasm_i32x4_add(wasm_i32x4_extend_low_i16x8(colors), change);
  const v128_t narrow = wasm_i16x8_max(wasm_i16x8_narrow_i32x4(changed, changed),
                                       wasm_i16x8_const_splat(-MAX_FEATURE));
  const v128_t one = wasm_i16x8_const(-1, 0, 0, 0, 0, 0, 0, 0);
  const v128_t three = wasm_i16x8_const(-1, -1, -1, 0, 0, 0, 0, 0);
  return wasm_v128_bitselect(narrow, colors, j->channels == 1 ? one : three);
}

/** Features of a pixel of a scene with layers; returns the disparity that one sees there. */
static inline __attribute__((always_inline)) int32_t
sample(const job *j, int32_t by, int32_t bx, v128_t *out, const int32_t n_slices,
       const int32_t n_slope_slices) {
  v128_t lanes[MAX_LAYERS][MAX_SLICES + 2];
  int32_t visibility[MAX_LAYERS], disparity[MAX_LAYERS];
  const int32_t stride = 2 * j->columns;
  const int32_t plane = stride * 2 * j->rows;
  int32_t i = 0;
  // Front to back as far as one can see: what is behind full visibility adds nothing.
  for (;; i++) {
    const layer *l = &j->layers[i];
    int32_t fy, fx;
    const v128_t *at = l->slices + find(j, l, by, bx, &fy, &fx, &disparity[i]);
    const int32_t w11 = fy * fx, w10 = 16 * fy - w11, w01 = 16 * fx - w11;
    const v128_t upper = pair(256 - w10 - w01 - w11, w01), lower = pair(w10, w11);
    const int32_t n = i == 0 ? n_slices + n_slope_slices : n_slices;
    for (int32_t s = 0; s < n; s++) {
      lanes[i][s] = bilinear(at + s * plane, stride, upper, lower);
    }
    if (i == 0 && j->has_slopes) lanes[0][0] = with_slopes(j, lanes[0][0], lanes[0]);
    if (i == j->n_layers - 1) break;
    const int32_t alpha = ((const int16_t *)lanes[i])[j->features];
    visibility[i] = clamp((alpha + 8) >> 4, 0, 256);
    if (visibility[i] == 256) break;
  }
  for (int32_t s = 0; s < n_slices; s++) out[s] = lanes[i][s];
  int32_t seen = disparity[i];
  for (i--; i >= 0; i--) {
    const v128_t weights = pair(visibility[i], 256 - visibility[i]);
    for (int32_t s = 0; s < n_slices; s++) out[s] = mix(lanes[i][s], out[s], weights);
    if (visibility[i] >= 128) seen = disparity[i];
  }
  return seen;
}

/** Sums of four outputs of a dense layer (7.1). */
static inline __attribute__((always_inline)) v128_t
weigh(const v128_t *in, const int32_t n_inputs, const v128_t *weights, v128_t sums) {
  for (int32_t k = 0; k < n_inputs; k++, weights += 4) {
    const v128_t x = in[k];
    const v128_t p0 = wasm_i32x4_shuffle(x, x, 0, 0, 0, 0);
    const v128_t p1 = wasm_i32x4_shuffle(x, x, 1, 1, 1, 1);
    const v128_t p2 = wasm_i32x4_shuffle(x, x, 2, 2, 2, 2);
    const v128_t p3 = wasm_i32x4_shuffle(x, x, 3, 3, 3, 3);
    const v128_t first = wasm_i32x4_add(wasm_i32x4_dot_i16x8(p0, weights[0]),
                                        wasm_i32x4_dot_i16x8(p1, weights[1]));
    const v128_t second = wasm_i32x4_add(wasm_i32x4_dot_i16x8(p2, weights[2]),
                                         wasm_i32x4_dot_i16x8(p3, weights[3]));
    sums = wasm_i32x4_add(sums, wasm_i32x4_add(first, second));
  }
  return wasm_i32x4_shr(wasm_i32x4_add(sums, wasm_i32x4_const_splat(64)), 7);
}

/** A leaky layer of `2 * n_outputs` groups of four outputs. */
static inline __attribute__((always_inline)) void
hidden(const v128_t *in, const int32_t n_inputs, const v128_t *weights, const v128_t *constants,
       const int32_t n_outputs, v128_t *out) {
  const int32_t step = 4 * n_inputs;
  for (int32_t k = 0; k < n_outputs; k++) {
    const v128_t low = weigh(in, n_inputs, weights + 2 * k * step, constants[2 * k]);
    const v128_t high = weigh(in, n_inputs, weights + (2 * k + 1) * step, constants[2 * k + 1]);
    const v128_t y = wasm_i16x8_max(wasm_i16x8_narrow_i32x4(low, high),
                                    wasm_i16x8_const_splat(-MAX_FEATURE));
    out[k] = wasm_i16x8_max(y, wasm_i16x8_shr(y, 3));
  }
}

/** Color of a pixel after the view network (8.3), from its features; it may change them. */
static inline __attribute__((always_inline)) v128_t
colors_of(const job *j, v128_t *features, int32_t x, const int32_t n_inputs, const int32_t n_dense,
          const int32_t n_hidden) {
  v128_t color = wasm_i32x4_extend_low_i16x8(features[0]);
  if (n_dense == 0) return color;
  if (j->spatial) ((int16_t *)features)[j->features] = j->column_inputs[x];
  v128_t units[2][16];
  hidden(features, n_inputs, j->dense[0].weights, j->row_constants, n_hidden, units[0]);
  const v128_t *in = units[0];
  for (int32_t i = 1; i < n_dense - 1; i++) {
    const dense *d = &j->dense[i];
    hidden(in, n_hidden, d->weights, d->constants, n_hidden, units[i & 1]);
    in = units[i & 1];
  }
  const dense *last = &j->dense[n_dense - 1];
  v128_t y = weigh(in, n_hidden, last->weights, last->constants[0]);
  y = wasm_i32x4_min(wasm_i32x4_max(y, wasm_i32x4_const_splat(-MAX_FEATURE)),
                     wasm_i32x4_const_splat(MAX_FEATURE));
  return wasm_i32x4_add(color, y);
}

static inline v128_t limited(v128_t x, int32_t low, int32_t high) {
  return wasm_i32x4_min(wasm_i32x4_max(x, wasm_i32x4_splat(low)), wasm_i32x4_splat(high));
}

/** `rshift(sum * peak, 24)` within 0..peak (7.4). */
static inline v128_t sample_of(v128_t sum, int32_t peak) {
  const v128_t p = wasm_i32x4_splat(peak);
  const v128_t s = limited(sum, 0, 1 << 24);
  const v128_t fine = wasm_i32x4_mul(wasm_v128_and(s, wasm_i32x4_const_splat(4095)), p);
  const v128_t carry = wasm_i32x4_shr(wasm_i32x4_add(fine, wasm_i32x4_const_splat(1 << 23)), 12);
  const v128_t all = wasm_i32x4_add(wasm_i32x4_mul(wasm_i32x4_shr(s, 12), p), carry);
  return wasm_i32x4_min(wasm_i32x4_shr(all, 12), p);
}

#define TIMES(x, n) wasm_i32x4_mul(x, wasm_i32x4_const_splat(n))

/** Four pixels -> their samples (8.3, 8.4), `[red, green, blue]` each 4 pixels. */
static inline void convert(const job *j, const int32_t *from, v128_t *rgb) {
  const v128_t a = wasm_v128_load(from), b = wasm_v128_load(from + 4);
  const v128_t c = wasm_v128_load(from + 8), d = wasm_v128_load(from + 12);
  const v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
  v128_t planes[3] = {
      wasm_i64x2_shuffle(ab, cd, 0, 2),
      wasm_i64x2_shuffle(ab, cd, 1, 3),
      wasm_i64x2_shuffle(wasm_i32x4_shuffle(a, b, 2, 6, 2, 6),
                         wasm_i32x4_shuffle(c, d, 2, 6, 2, 6), 0, 2),
  };
  for (int32_t k = 0; k < 3; k++) {
    const v128_t product = wasm_i32x4_mul(planes[k], wasm_i32x4_splat(j->gain));
    const v128_t rounded = wasm_i32x4_shr(
        wasm_i32x4_add(product, wasm_i32x4_const_splat(512)), 10);
    planes[k] = limited(rounded, -MAX_COLOR, MAX_COLOR);
  }
  const v128_t luma = wasm_i32x4_shl(wasm_i32x4_add(planes[0], wasm_i32x4_splat(j->offset)), 12);
  if (j->channels == 1) {
    rgb[0] = rgb[1] = rgb[2] = sample_of(luma, j->peak);
    return;
  }
  const v128_t red = wasm_i32x4_add(luma, TIMES(planes[2], 6450));
  const v128_t green = wasm_i32x4_sub(
      wasm_i32x4_sub(luma, TIMES(planes[1], 767)), TIMES(planes[2], 1917));
  const v128_t blue = wasm_i32x4_add(luma, TIMES(planes[1], 7601));
  rgb[0] = sample_of(red, j->peak);
  rgb[1] = sample_of(green, j->peak);
  rgb[2] = sample_of(blue, j->peak);
}

/** Add red, green and blue of four pixels to sums, whose fourth numbers stay. */
static inline void add_to(uint32_t *sums, const v128_t *rgb, int32_t n, int32_t is_first) {
  int32_t values[3][4];
  for (int32_t k = 0; k < 3; k++) wasm_v128_store(values[k], rgb[k]);
  for (int32_t i = 0; i < n; i++) {
    for (int32_t k = 0; k < 3; k++) {
      sums[4 * i + k] = (is_first ? 0 : sums[4 * i + k]) + (uint32_t)values[k][i];
    }
  }
}

/** What varies from row to row joins the constants of the first layer (8.3). */
static void prepare_row(const job *j, int32_t y) {
  if (j->n_dense == 0) return;
  const dense *d = &j->dense[0];
  int32_t at = 0;
  if (j->spatial) {
    const uint32_t scaled = (uint32_t)(2 * y + 1) << (12 + j->level);
    at = clamp((int32_t)(scaled / (uint32_t)j->height) - 4096, -4096, 4095);
  }
  for (int32_t k = 0; k < d->n_outputs; k++) {
    const v128_t change =
        wasm_i32x4_mul(wasm_v128_load(j->row_weights + 4 * k), wasm_i32x4_splat(at));
    j->row_constants[k] = wasm_i32x4_add(d->constants[k], change);
  }
}

static inline __attribute__((always_inline)) void
render(const job *j, int32_t y0, int32_t y1, int32_t width, int32_t stride, uint32_t *sums,
       int32_t is_first, const int32_t n_slices, const int32_t n_slope_slices,
       const int32_t n_inputs, const int32_t n_dense, const int32_t n_hidden) {
  // Rough pixels are in the middle of those that they stand for.
  const int32_t middle = 16 * (stride - 1);
  for (int32_t row = y0; row < y1; row++) {
    const int32_t y = stride * row;
    prepare_row(j, y);
    const int32_t by = 32 * y + j->origin_y + middle;
    for (int32_t column = 0; column < width; column++) {
      const int32_t x = stride * column;
      v128_t features[MAX_SLICES + 1];
      int32_t seen = 0;
      if (j->n_layers > 0) {
        const int32_t bx = 32 * x + j->origin_x + middle;
        seen = sample(j, by, bx, features, n_slices, n_slope_slices);
      } else {
        const int32_t at = (y + j->origin_y) * j->columns + x + j->origin_x;
        const v128_t *slices = j->layers[0].slices;
        for (int32_t s = 0; s < n_slices; s++) features[s] = slices[s * j->rows * j->columns + at];
      }
      if (is_first) sums[4 * column + 3] = (uint32_t)(seen + 32768);
      const v128_t color = colors_of(j, features, x, n_inputs, n_dense, n_hidden);
      wasm_v128_store(j->colors + 4 * column, color);
    }
    for (int32_t x = 0; x < width; x += 4) {
      v128_t rgb[3];
      convert(j, j->colors + 4 * x, rgb);
      add_to(sums + 4 * x, rgb, width - x < 4 ? width - x : 4, is_first);
    }
    sums += 4 * width;
  }
}

/**
 * Add the rows `y0` to `y1 - 1` of a view to sums of views: red, green, blue, and the disparity
 * that one sees in the first view, plus 32768. With a stride of 2 these are rows of a rough view,
 * of a quarter of the pixels.
 */
__attribute__((export_name("addRows"))) void
add_rows(int32_t y0, int32_t y1, int32_t width, int32_t stride, uint32_t *sums, int32_t is_first) {
  const job *j = &the_job;
  const int32_t n_hidden = j->n_dense > 0 ? j->dense[0].n_outputs / 2 : 0;
  const int32_t n_inputs = j->n_dense > 0 ? j->dense[0].n_inputs : 0;
  // The usual model has its loops unrolled.
  if (j->n_slices == 1 && j->n_slope_slices <= 1 && n_inputs == 1 && j->n_dense == 2 &&
      n_hidden == 2) {
    render(j, y0, y1, width, stride, sums, is_first, 1, j->n_slope_slices, 1, 2, 2);
  } else {
    render(j, y0, y1, width, stride, sums, is_first, j->n_slices, j->n_slope_slices, n_inputs,
           j->n_dense, n_hidden);
  }
}

__attribute__((export_name("job"))) job *job_address(void) { return &the_job; }

extern uint8_t __heap_base;
__attribute__((export_name("heap"))) uint8_t *heap(void) { return &__heap_base; }

/** Means of sums -> RGBA of 8 bits, rounded: `n` pixels, with `unit = 255 / (peak * views)`. */
__attribute__((export_name("toPixels"))) void to_pixels(const uint32_t *sums, uint8_t *pixels,
                                                        int32_t n, float unit) {
  const v128_t scale = wasm_f32x4_splat(unit);
  for (int32_t i = 0; i < n; i++) {
    const v128_t sum = wasm_f32x4_convert_u32x4(wasm_v128_load(sums + 4 * i));
    const v128_t mean = wasm_f32x4_mul(sum, scale);
    const v128_t half = wasm_f32x4_const_splat(0.5f);
    const v128_t whole = wasm_i32x4_trunc_sat_f32x4(wasm_f32x4_add(mean, half));
    const v128_t opaque = wasm_i32x4_replace_lane(whole, 3, 255);
    const v128_t narrow = wasm_i16x8_narrow_i32x4(opaque, opaque);
    wasm_v128_store32_lane(pixels + 4 * i, wasm_u8x16_narrow_i16x8(narrow, narrow), 0);
  }
}
