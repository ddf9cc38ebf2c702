// SPDX-License-Identifier: MIT
/**
 * @file The errors of the decoder; their names are those of section 10 of format_spec.md.
 * Must not import anything.
 */

/** Base of all errors that the decoder raises on purpose; its message is one line. */
export class SanrError extends Error {
  get name() {
    return this.constructor.errorName;
  }
}
SanrError.errorName = "SanrError";

/** The signature is missing: this is no .sanr file. */
export class NotSanrError extends SanrError {}
NotSanrError.errorName = "NotSanrError";

/** The file's format version is unknown to this decoder. */
export class UnsupportedVersionError extends SanrError {}
UnsupportedVersionError.errorName = "UnsupportedVersionError";

/** The file needs a critical section that this decoder does not know. */
export class UnsupportedFeatureError extends SanrError {}
UnsupportedFeatureError.errorName = "UnsupportedFeatureError";

/** The file ends before the data that it announces. */
export class TruncatedError extends SanrError {}
TruncatedError.errorName = "TruncatedError";

/** A section's checksum, range or payload is wrong. */
export class CorruptSectionError extends SanrError {}
CorruptSectionError.errorName = "CorruptSectionError";

/** The file asks for more than the limits of the format, or of this decoder, allow. */
export class LimitError extends SanrError {}
LimitError.errorName = "LimitError";

/** A view, region or scale outside the light field was asked for. */
export class LightFieldError extends SanrError {}
LightFieldError.errorName = "LightFieldError";
