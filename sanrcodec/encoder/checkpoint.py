# SPDX-License-Identifier: MIT
"""A fit's state on disk, so that a killed fit goes on; knows nothing of what is in the state."""

from __future__ import annotations

import hashlib
import io
import zipfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sanrcodec.errors import SanrError
from sanrcodec.io import write_atomically
from sanrcodec.io.lock import locked
from sanrcodec.lightfield import LightField

__all__ = ["Checkpoint", "fingerprint"]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a state is kept.

    Attributes:
        path: File, replaced as a whole.
        identity: Name -> value of all that a state depends on. A state of another fit is refused.
    """

    path: Path
    identity: dict[str, Any]

    def load(self) -> dict[str, Any] | None:
        """Read the state, tensors on the CPU; None if there is no file yet.

        Raises:
            SanrError: the file is no checkpoint, or one of another fit; it stays as it is.
        """
        if not self.path.exists():
            return None
        try:
            packed = self.path.read_bytes()
        except OSError as error:
            raise SanrError(f"{self.path}: cannot read: {error.strerror or error}") from error
        try:
            # torch.save writes a ZIP archive, but torch.load leaves its checksums alone.
            with zipfile.ZipFile(io.BytesIO(packed)) as archive:
                # Nothing in it is compressed: what unpacks to more than it takes is no such file.
                if sum(entry.file_size for entry in archive.infolist()) > len(packed):
                    raise ValueError("size")
                if archive.testzip():
                    raise ValueError("checksum")
            content = torch.load(io.BytesIO(packed), map_location="cpu", weights_only=True)
            found: dict[str, Any] = content["identity"]
            state: dict[str, Any] = content["state"]
            if not isinstance(found, dict) or not isinstance(state, dict):
                raise ValueError("kind")
            differences = [
                f"{name} is {found.get(name)}, here {value}"
                for name, value in self.identity.items()
                if found.get(name) != value
            ]
        except Exception:  # both raise nearly anything on other files
            raise SanrError(
                f"{self.path}: this is no checkpoint, or a damaged one; "
                "remove it to begin anew, or choose another path"
            ) from None
        if differences:
            raise SanrError(
                f"{self.path}: this checkpoint is of another fit ({'; '.join(differences)}); "
                "remove it to begin anew, or choose another path"
            )
        return state

    def save(self, state: dict[str, Any]) -> None:
        """Replace the file.

        Args:
            state: Tensors, numbers, strings, and lists and dicts of them.

        Raises:
            SanrError: the file cannot be written.
        """
        content = {"identity": self.identity, "state": state}
        try:
            write_atomically(self.path, lambda file: torch.save(content, file))
        except RuntimeError as error:  # what torch makes of an error of the file
            cause: BaseException | None = error
            while cause is not None and not isinstance(cause, OSError):
                cause = cause.__cause__ or cause.__context__
            reason = cause.strerror if cause else str(error).strip().split("\n")[0]
            raise SanrError(f"{self.path}: cannot write: {reason}") from None

    def held(self) -> AbstractContextManager[None]:
        """Keep other encodings from working with the file.

        Raises:
            SanrError: on entry, if another one does.
        """
        special = self.path.exists() and not self.path.is_file()  # as /dev/null, which many share
        return nullcontext() if special else locked(self.path)


def fingerprint(light_field: LightField) -> str:
    """SHA-256 of shape, bit depth and samples, cut to 16 hexadecimal digits."""
    digest = hashlib.sha256(repr((*light_field.shape, light_field.bit_depth)).encode())
    for view in light_field.views():
        digest.update(np.ascontiguousarray(view, "<u2").data)
    return digest.hexdigest()[:16]
