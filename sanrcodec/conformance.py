# SPDX-License-Identifier: MIT
"""Check a decoder with files of known samples and with faulty ones, as format_spec.md 12 says.

Must not know how a decoder works: it is a function, or the command of another program.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sanrcodec.decoder import SanrFile
from sanrcodec.errors import SanrError

__all__ = ["Check", "Decoder", "RefusedError", "command_decoder", "conformance", "own_decoder"]

_SECONDS = 600  # that another program may take for a view

# Path, row and column of the view, and by what it is smaller: its samples [H, W, C] in C order, one
# byte each, or two, little-endian, above 8 bits.
Decoder = Callable[[Path, str, str, int], bytes]


class RefusedError(Exception):
    """A decoder refused a file.

    Args:
        error: Name of its error, or empty if it tells none.
    """

    def __init__(self, error: str, message: str) -> None:
        super().__init__(message)
        self.error = error


class Check(NamedTuple):
    """What a decoder made of a file.

    Attributes:
        name: Of the file.
        fault: What is wrong with the decoder; empty where nothing is.
        n_views: Views that were compared; 0 for faulty files.
    """

    name: str
    fault: str
    n_views: int


def own_decoder(path: Path, v: str, u: str, divisor: int) -> bytes:
    """The decoder of this package.

    Raises:
        RefusedError: the file is faulty.
    """
    try:
        view = SanrFile(path).view(float(v), float(u), scale=1 / divisor)
    except SanrError as error:
        raise RefusedError(type(error).__name__, str(error)) from None
    samples: bytes = view.astype(view.dtype.newbyteorder("<")).tobytes()
    return samples


def command_decoder(command: Sequence[str]) -> Decoder:
    """Another program, called as ``COMMAND FILE V U DIVISOR``.

    It prints the samples. Of a file that it refuses it prints none, and ends with an exit code
    other than 0; the first word on stderr may be the name of the error in section 10.
    """

    def decode(path: Path, v: str, u: str, divisor: int) -> bytes:
        arguments = [*command, str(path), v, u, str(divisor)]
        try:
            done = subprocess.run(arguments, capture_output=True, check=False, timeout=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SanrError(f"{command[0]}: cannot be run: {error}") from None
        if done.returncode:
            words = done.stderr.decode(errors="replace").split()
            first = words[0].rstrip(":") if words else ""
            raise RefusedError(first if first.endswith("Error") else "", " ".join(words[:20]))
        return done.stdout

    return decode


def conformance(folder: Path, decode: Decoder = own_decoder) -> Iterator[Check]:
    """Check a decoder with all files of a folder.

    Args:
        folder: It, or its folders ``vectors`` and ``faulty``, have files and an ``expected.json``.
        decode: The decoder.

    Yields:
        A result for each file.

    Raises:
        SanrError: the folder has no such files.
    """
    found = [path for path in (folder, folder / "vectors", folder / "faulty") if _table(path)]
    if not found:
        raise SanrError(f"{folder}: no expected.json in it, nor in its folders vectors and faulty")
    for path in found:
        for name, expected in _table(path).items():
            yield _check(path / name, expected, decode)


def _table(folder: Path) -> dict[str, dict[str, Any]]:
    path = folder / "expected.json"
    try:
        table = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if not all(isinstance(entry, dict) for entry in table.values()):
            raise ValueError("entry")
    except (AttributeError, ValueError):
        raise SanrError(f"{path}: this is no table of expected files") from None
    found: dict[str, dict[str, Any]] = table
    return found


def _check(path: Path, expected: dict[str, Any], decode: Decoder) -> Check:
    if not path.exists():
        return Check(path.name, "the file is missing", 0)
    if hashlib.sha256(path.read_bytes()).hexdigest() != expected.get("sha256"):
        return Check(path.name, "the file is not the one that is expected", 0)
    if "error" in expected:
        return Check(path.name, _fault_of_refusal(path, str(expected["error"]), decode), 0)
    views = {**expected.get("views", {}), **expected.get("smaller", {})}
    for key, digest in views.items():
        position, _, divisor = key.partition("@1/")
        v, _, u = position.partition(",")
        try:
            samples = decode(path, v, u, int(divisor or 1))
        except RefusedError as refused:
            return Check(path.name, f"view {key} is refused: {refused}", len(views))
        if hashlib.sha256(samples).hexdigest() != digest:
            return Check(path.name, f"view {key} has other samples", len(views))
    return Check(path.name, "", len(views))


def _fault_of_refusal(path: Path, error: str, decode: Decoder) -> str:
    try:
        decode(path, "0", "0", 1)
    except RefusedError as refused:
        if refused.error not in ("", error):
            return f"is refused by {refused.error}, expected {error}"
        return ""
    return f"is decoded, expected {error}"
