// SPDX-License-Identifier: MIT
/**
 * @file Makes views as threads of the page do, with and without WebAssembly, and prints digests.
 *
 * Input: {"defaultWeights": path, "jobs": [{"content": base64, "views": [[v, u, scale], ...]}]}.
 * Output: for each job a list with, for each view, {"languages", "samples", "sums", "pixels"}: of both
 * ways the SHA-256 of the samples of the view, of the sums of it and a second view, and the largest
 * difference of their pixels.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { SanrFile } from "../../sanrcodec/viewer/decoder.mjs";
import { viewShape } from "../../sanrcodec/viewer/header.mjs";
import { Kernel } from "../../sanrcodec/viewer/kernel.mjs";
import { PlainRows } from "../../sanrcodec/viewer/rows.mjs";

const input = JSON.parse(readFileSync(0, "utf-8"));
const defaultWeights = JSON.parse(readFileSync(input.defaultWeights, "utf-8"));

function digest(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return createHash("sha256").update(bytes).digest("hex");
}

/** Samples of one view from its sums. */
function samplesOf(sums, { channels, bit_depth: bitDepth }) {
  const Samples = bitDepth === 8 ? Uint8Array : Uint16Array;
  const samples = new Samples((sums.length / 4) * channels);
  for (let i = 0; i < samples.length; i++) {
    samples[i] = sums[4 * Math.floor(i / channels) + (i % channels)];
  }
  return samples;
}

function make(file, [v, u, scale]) {
  const level = Math.log2(1 / scale);
  const scene = file.scene(level);
  const [height] = viewShape(scene.header, level);
  const poses = [file.pose(v, u, level), file.pose(0, 0, level)];
  const results = [Kernel, PlainRows].map((Kind) => {
    // In two parts, as two threads make them.
    const middle = Math.ceil(height / 3);
    const ranges = [[0, middle], [middle, height]].filter(([y0, y1]) => y0 < y1);
    const parts = ranges.map((rows) =>
      Kind === Kernel ? Kernel.of(scene, rows) : new PlainRows(scene, rows),
    );
    if (parts.includes(null)) return null;
    const all = (Type, each) => Type.from(parts.flatMap((part) => [...each(part)]));
    for (const part of parts) part.add(poses[0], true, true);
    const samples = samplesOf(all(Uint32Array, (part) => part.sums()), scene.header);
    const single = all(Uint8Array, (part) => part.pixels(1));
    for (const part of parts) part.add(poses[1], false, true);
    const sums = all(Uint32Array, (part) => part.sums());
    const mean = all(Uint8Array, (part) => part.pixels(2));
    return { language: parts[0].language, samples, sums, pixels: [single, mean] };
  });
  const found = results.filter((result) => result !== null);
  const [[a, c], [b, d]] = [found[0].pixels, found.at(-1).pixels];
  const largest = (p, q) => p.reduce((most, value, i) => Math.max(most, Math.abs(value - q[i])), 0);
  return {
    languages: found.map(({ language }) => language),
    samples: found.map(({ samples }) => digest(samples)),
    sums: found.map(({ sums }) => digest(sums)),
    pixels: [largest(a, b), largest(c, d)],
  };
}

const answers = input.jobs.map(({ content, views }) => {
  const file = new SanrFile(Buffer.from(content, "base64"), { defaultWeights });
  return views.map((view) => make(file, view));
});
process.stdout.write(JSON.stringify(answers));
