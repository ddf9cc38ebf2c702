// SPDX-License-Identifier: MIT
/**
 * @file Decodes what standard input asks for, and prints digests or errors as JSON.
 *
 * Input: {"defaultWeights": path, "limits": {}, "jobs": [{"content": base64, "views":
 * [{"at": [v, u], "scale": s, "region": [...] or null}]}]}. Output: for each job {"views": [{"sha256", "shape",
 * "bits"}]} or {"error": name, "message": text}.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { SanrError, SanrFile } from "../../sanrcodec/viewer/decoder.mjs";

const input = JSON.parse(readFileSync(0, "utf-8"));
const defaultWeights = JSON.parse(readFileSync(input.defaultWeights, "utf-8"));

function decode({ content, views }) {
  try {
    const file = new SanrFile(Buffer.from(content, "base64"), { defaultWeights, ...input.limits });
    return {
      views: views.map(({ at: [v, u], scale, region }) => {
        const view = file.view(v, u, { scale, region: region ?? undefined });
        const { samples } = view;
        const bytes = new Uint8Array(samples.buffer, samples.byteOffset, samples.byteLength);
        return {
          sha256: createHash("sha256").update(bytes).digest("hex"),
          shape: [view.height, view.width, view.channels],
          bits: 8 * samples.BYTES_PER_ELEMENT,
        };
      }),
    };
  } catch (error) {
    if (!(error instanceof SanrError)) throw error;
    return { error: error.name, message: error.message };
  }
}

process.stdout.write(JSON.stringify(input.jobs.map(decode)));
