// SPDX-License-Identifier: MIT
/** @file What format_spec.md states of the decoder's parts, and how its classes behave. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { runInNewContext } from "node:vm";
import { crc32, readVarint } from "../../sanrcodec/viewer/container.mjs";
import { DECAY_Q30, frequencyTable } from "../../sanrcodec/viewer/coder.mjs";
import * as decoder from "../../sanrcodec/viewer/decoder.mjs";
import { HEADER_FIELDS } from "../../sanrcodec/viewer/header.mjs";
import { minimumAround } from "../../sanrcodec/viewer/planes.mjs";
import { rowsOf } from "../../sanrcodec/viewer/rows.mjs";
import { defaultWeights as defaultOf } from "../../sanrcodec/viewer/tensors.mjs";

const root = new URL("../../", import.meta.url);
const spec = readFileSync(new URL("format_spec.md", root), "utf-8");
const vector = readFileSync(new URL("tests/vectors/default.sanr", root));
const tablePath = new URL("sanrcodec/bitstream/default_weights.json", root);
const defaultWeights = JSON.parse(readFileSync(tablePath));
const open = (bytes) => new decoder.SanrFile(bytes, { defaultWeights });

test("the header table is that of the text", () => {
  const rows = [...spec.matchAll(/^\| `(\w+)` \| (\d+)\.\.(\d+) \|/gm)];
  assert.deepEqual(HEADER_FIELDS, rows.map(([, name, low, high]) => [name, +low, +high]));
});

test("the version is that of the text", () => {
  const [, version] = spec.match(/^\| Format version \| ([\d.]+) \|/m);
  assert.equal(decoder.FORMAT_VERSION.join("."), version);
});

test("the decays are those of the text", () => {
  const block = spec.split("`DECAY_Q30`):")[1].split("```")[1];
  assert.deepEqual(DECAY_Q30, block.match(/\d+/g).map(Number));
});

test("frequency tables give the checks of section 6.4", () => {
  assert.deepEqual(frequencyTable(0, 0).slice(31, 34), [620, 16775913, 620]);
  const wide = frequencyTable(39, 3);
  assert.deepEqual(
    [wide[0], ...wide.slice(31, 34), wide[65]], [90645, 179820, 183774, 182825, 8181709],
  );
});

test("untrained weights give the checks of section 5.4", () => {
  const first = (number, amplitude) =>
    [...defaultOf({}, { name: "x", shape: [6], amplitude }, number, {})];
  assert.deepEqual(first(0, 128), [43, -43, 76, -124, 4, -102]);
  assert.deepEqual(first(2, 25), [24, 8, -6, -3, 23, -17]);
});

test("CRC-32 gives the check value", () => {
  assert.equal(crc32(Buffer.from("123456789")), 0xcbf43926);
});

test("varints have up to 35 bits and no needless bytes", () => {
  assert.deepEqual(readVarint([0xff, 0xff, 0xff, 0xff, 0x7f], 0, ""), [2 ** 35 - 1, 5]);
  assert.throws(() => readVarint([0x80, 0x00], 0, ""), decoder.CorruptSectionError);
  assert.throws(() => readVarint([0x80, 0x80, 0x80, 0x80, 0x80, 1], 0, ""),
    decoder.CorruptSectionError);
  assert.throws(() => readVarint([0x80], 0, ""), decoder.TruncatedError);
});

test("minima are those of a direct search", () => {
  const height = 7;
  const width = 9;
  const plane = Int16Array.from({ length: 63 }, (_, i) => ((i * 2654435761) % 1000) - 500);
  for (const [reachY, reachX] of [[0, 0], [1, 0], [0, 2], [2, 3], [9, 12]]) {
    const expected = plane.map((_, k) => {
      let least = Infinity;
      for (let i = 0; i < 63; i++) {
        const dy = Math.abs(Math.floor(i / width) - Math.floor(k / width));
        const dx = Math.abs((i % width) - (k % width));
        if (dy <= reachY && dx <= reachX) least = Math.min(least, plane[i]);
      }
      return least;
    });
    assert.deepEqual(minimumAround(plane, height, width, reachY, reachX), expected);
  }
});

test("a view does not depend on earlier ones, and a region is a cut", () => {
  const one = open(vector);
  const whole = one.view(1.25, 0.5).samples;
  one.view(0, 2, { scale: 1 / 4 });
  assert.deepEqual(open(vector).view(1.25, 0.5).samples, whole);
  const part = one.view(1.25, 0.5, { region: [3, 9, 5, 16] });
  for (let y = 3; y < 9; y++) {
    const row = whole.subarray((y * 32 + 5) * 3, (y * 32 + 16) * 3);
    assert.deepEqual(part.samples.subarray((y - 3) * 33, (y - 2) * 33), row);
  }
});

test("what is outside the light field is refused", () => {
  const file = open(vector);
  for (const [v, u] of [[-1, 0], [0, 2.01], [3, 0], [NaN, 0]]) {
    assert.throws(() => file.view(v, u), decoder.LightFieldError);
  }
  for (const region of [[0, 25, 0, 32], [4, 4, 0, 32], [0, 1.5, 0, 1], [-1, 2, 0, 1]]) {
    assert.throws(() => file.view(0, 0, { region }), decoder.LightFieldError);
  }
  assert.throws(() => file.view(0, 0, { scale: 1 / 3 }), decoder.LightFieldError);
});

test("bytes of any kind and of another frame are read", () => {
  const { samples } = open(vector).view(0, 0);
  const buffer = Uint8Array.from(vector).buffer;
  const shared = new SharedArrayBuffer(vector.length);
  new Uint8Array(shared).set(vector);
  const foreign = runInNewContext("new ArrayBuffer(n)", { n: vector.length });
  new Uint8Array(foreign).set(vector);
  const within = Buffer.concat([Buffer.alloc(7), vector, Buffer.alloc(3)]).subarray(7, -3);
  for (const bytes of [
    buffer, shared, foreign, within, new DataView(buffer), new Int8Array(buffer),
  ]) {
    assert.deepEqual(open(bytes).view(0, 0).samples, samples);
  }
});

test("arguments of other kinds are refused in one line", () => {
  const refused = (act, error) => assert.throws(act, (found) => {
    assert.ok(found instanceof error, String(found));
    assert.match(found.message, /^.+$/);
    return true;
  });
  for (const content of [null, undefined, 3, [...vector], "text", new Blob([vector])]) {
    refused(() => open(content), decoder.SanrError);
  }
  for (const options of [undefined, {}, { defaultWeights: {} }, { defaultWeights: "{}" }]) {
    refused(() => new decoder.SanrFile(vector, options), decoder.SanrError);
  }
  for (const name of ["maxPixels", "maxWork", "maxSceneBytes"]) {
    for (const limit of [NaN, -1, "5", null]) { // nothing is above NaN
      const options = { defaultWeights, [name]: limit };
      refused(() => new decoder.SanrFile(vector, options), decoder.LightFieldError);
    }
  }
  const file = open(vector);
  for (const odd of ["1", 1n, [1], null, undefined, {}]) {
    refused(() => file.view(odd, 0), decoder.LightFieldError);
  }
  for (const region of [3, {}, [0, 4], [0, 4, 0, 4, 0], "0404"]) {
    refused(() => file.view(0, 0, { region }), decoder.LightFieldError);
  }
  for (const level of [-1, 4, 0.5, "x"]) refused(() => file.scene(level), decoder.LightFieldError);
});

test("a scene beyond the caller's limit is refused", () => {
  const file = new decoder.SanrFile(vector, { defaultWeights, maxSceneBytes: 1000 });
  assert.throws(() => file.view(0, 0), decoder.LimitError);
});

test("errors have the names of the text", () => {
  const names = spec.split("## 10. Error handling")[1].split("## 11")[0].match(/`\w+Error`/g);
  for (const name of new Set(names.map((quoted) => quoted.slice(1, -1)))) {
    const error = new decoder[name]("message");
    assert.equal(error.name, name);
    assert.ok(error instanceof decoder.SanrError);
  }
});

test("damage is met again by every view", () => {
  const bytes = Uint8Array.from(vector);
  const { offset, payload } = open(bytes).sections.get(3);
  const end = offset + 3 + payload.length; // type, two bytes of length
  bytes[offset + 3] ^= 0xff;
  new DataView(bytes.buffer).setUint32(end, crc32(bytes.subarray(offset, end)), true);
  const file = open(bytes);
  const message = (view) => {
    try {
      return `decoded ${view().samples.length}`;
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  };
  const first = message(() => file.view(0, 0));
  assert.match(first, /^CorruptSectionError: /);
  assert.equal(message(() => file.view(1, 1)), first);
});

test("metadata is parsed where it can be", () => {
  assert.equal(open(vector).metadata, null);
  const withMetadata = readFileSync(new URL("tests/vectors/single_view.sanr", root));
  assert.equal(typeof open(withMetadata).metadata, "object");
});

test("rows are made in JavaScript where vectors do not hold the weights", () => {
  const scene = open(vector).scene(0);
  assert.equal(rowsOf(scene, [0, 3]).language, "WebAssembly");
  const weight = Int32Array.from(scene.viewWeights["view.hidden0.weight"]);
  weight[1] = 32768;
  const viewWeights = { ...scene.viewWeights, "view.hidden0.weight": weight };
  assert.equal(rowsOf({ ...scene, viewWeights }, [0, 3]).language, "JavaScript");
});

test("rows are made in JavaScript where there is no WebAssembly", () => {
  const { WebAssembly } = globalThis;
  try {
    delete globalThis.WebAssembly;
    assert.equal(rowsOf(open(vector).scene(0), [0, 3]).language, "JavaScript");
    globalThis.WebAssembly = { ...WebAssembly, Module: null, CompileError: TypeError };
    assert.equal(rowsOf(open(vector).scene(0), [0, 3]).language, "JavaScript");
  } finally {
    globalThis.WebAssembly = WebAssembly;
  }
});
