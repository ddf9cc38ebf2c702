// SPDX-License-Identifier: MIT
/**
 * @file Bytes -> checked sections (format_spec.md section 3): signature, framing, CRC-32.
 * Must not look inside a payload.
 */
import {
  CorruptSectionError, NotSanrError, TruncatedError, UnsupportedFeatureError,
  UnsupportedVersionError,
} from "./errors.mjs";

const SIGNATURE = [0x8b, 0x53, 0x41, 0x4e, 0x52, 0x0d, 0x0a, 0x1a, 0x0a];
export const FORMAT_VERSION = [0, 9];

export const HEADER = 0x01;
export const WEIGHTS = 0x02;
export const LATENTS = 0x03;
export const RESIDUALS = 0x04;
export const METADATA = 0x81;
const SECTION_NAMES = new Map([
  [HEADER, "HEADER"], [WEIGHTS, "WEIGHTS"], [LATENTS, "LATENTS"], [RESIDUALS, "RESIDUALS"],
  [METADATA, "METADATA"],
]);
const REQUIRED = [HEADER, WEIGHTS, LATENTS];
const ANCILLARY = 0x80;
const N_CRC_BYTES = 4;
const MAX_VARINT_BYTES = 5;

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  return crc;
});

/**
 * CRC-32 of PNG and zlib.
 * @param {Uint8Array} bytes
 * @returns {number} 0..2^32 - 1
 */
export function crc32(bytes) {
  let crc = 0xffffffff;
  for (let i = 0; i < bytes.length; i++) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ bytes[i]) & 255];
  return (crc ^ 0xffffffff) >>> 0;
}

/**
 * Read a varint (section 2.1).
 * @param {Uint8Array} bytes
 * @param {number} position
 * @param {string} what for messages
 * @returns {[number, number]} the value, and the position after it
 */
export function readVarint(bytes, position, what) {
  let value = 0;
  for (let i = 0; i < MAX_VARINT_BYTES; i++) {
    if (position + i >= bytes.length) throw new TruncatedError(`${what}: the bytes end inside it`);
    const byte = bytes[position + i];
    value += (byte & 0x7f) * 2 ** (7 * i); // 35 bits: no shifts of 32
    if (byte < 0x80) {
      if (byte === 0 && i > 0) throw new CorruptSectionError(`${what}: has needless zero bytes`);
      return [value, position + i + 1];
    }
  }
  throw new CorruptSectionError(`${what}: takes over ${MAX_VARINT_BYTES} bytes`);
}

/**
 * Split a file into its sections and verify every checksum.
 * @param {Uint8Array} bytes the whole file
 * @returns {Map<number, {payload: Uint8Array, offset: number}>} sections by type, in file order
 */
export function readSections(bytes) {
  let position = checkStart(bytes);
  const nSections = bytes[position - 1];
  const sections = new Map();
  while (sections.size < nSections) {
    const offset = position;
    if (offset === bytes.length) {
      throw new TruncatedError(
        `the file ends at byte ${offset} after ${sections.size} of ${nSections} sections`,
      );
    }
    const type = bytes[offset];
    const name = SECTION_NAMES.get(type) ?? `0x${type.toString(16)}`;
    const where = `section ${name} at byte ${offset}`;
    const [length, start] = readVarint(bytes, offset + 1, `${where}, length`);
    const stop = start + length;
    if (stop + N_CRC_BYTES > bytes.length) {
      throw new TruncatedError(
        `${where}: ends at byte ${stop + N_CRC_BYTES}, but the file at byte ${bytes.length}`,
      );
    }
    const expected = new DataView(bytes.buffer, bytes.byteOffset + stop, 4).getUint32(0, true);
    const found = crc32(bytes.subarray(offset, stop));
    if (found !== expected) {
      throw new CorruptSectionError(
        `${where}: CRC-32 is ${hex(found)}, expected ${hex(expected)}; the file is damaged`,
      );
    }
    if (sections.has(type)) throw new CorruptSectionError(`${where}: occurs twice, expected once`);
    if (sections.size === 0 && type !== HEADER) {
      throw new CorruptSectionError(`${where}: comes first, expected HEADER`);
    }
    if (!SECTION_NAMES.has(type) && type < ANCILLARY) {
      throw new UnsupportedFeatureError(`${where}: unknown critical section`);
    }
    sections.set(type, { payload: bytes.subarray(start, stop), offset });
    position = stop + N_CRC_BYTES;
  }
  if (position < bytes.length) {
    throw new CorruptSectionError(
      `${bytes.length - position} bytes after the last of ${nSections} sections`,
    );
  }
  const missing = REQUIRED.filter((type) => !sections.has(type));
  if (missing.length > 0) {
    const names = missing.map((type) => SECTION_NAMES.get(type)).join(", ");
    throw new TruncatedError(`the file has ${nSections} sections, but no ${names}`);
  }
  return sections;
}

/** Check signature and version; return the position of the first section. */
function checkStart(bytes) {
  const n = Math.min(bytes.length, SIGNATURE.length);
  for (let i = 0; i < n; i++) {
    if (bytes[i] !== SIGNATURE[i]) {
      throw new NotSanrError("the .sanr signature is missing; this is no .sanr file");
    }
  }
  const end = SIGNATURE.length + FORMAT_VERSION.length + 1; // the number of sections
  if (bytes.length < end) {
    throw new TruncatedError(`the file has ${bytes.length} bytes, expected at least ${end}`);
  }
  const [major, minor] = bytes.subarray(SIGNATURE.length);
  // Development versions promise nothing; from 1.0 on a minor version only adds.
  const [knownMajor, knownMinor] = FORMAT_VERSION;
  if (major !== knownMajor || (major === 0 && minor !== knownMinor)) {
    throw new UnsupportedVersionError(
      `format version is ${major}.${minor}, this decoder knows ${knownMajor}.${knownMinor}`,
    );
  }
  return end;
}

function hex(value) {
  return value.toString(16).padStart(8, "0");
}
