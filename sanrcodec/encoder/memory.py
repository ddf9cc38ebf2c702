# SPDX-License-Identifier: MIT
"""Whether the memory of this machine can hold a fit; measures nothing while it runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.errors import SanrError

__all__ = ["check_memory", "free_bytes", "is_out_of_memory", "told_when_out_of_memory"]

# Of a whole fit, per pixel of a view, without and with depth layers: what was measured of views of
# 512 to 2048 pixels a side, rounded down. A fit that passes may still be too large, but none is
# refused that fits.
_BYTES_PER_PIXEL = {"cpu": (2000, 3800), "cuda": (4000, 7000)}
# Of that, what each of several processes needs: the rest, bands of rows of the views and of the
# scene, is shared. Two needed 0.52 and 0.57 each of what one did (CPU, CUDA), four 0.31 and 0.33.
_NOT_SHARED = 0.1


def check_memory(
    n_pixels: int, has_layers: bool, device: torch.device, ranks: Ranks = ALONE
) -> None:
    """Refuse a fit that the free memory cannot hold, before the system ends it halfway.

    Args:
        n_pixels: Of one view.
        has_layers: Whether the profile has depth layers.
        device: Where the fit runs.
        ranks: The processes that share it. Those of one host share its memory, too, but not that
            of GPUs.

    Raises:
        SanrError: tells what is needed and what is free.
    """
    share = _NOT_SHARED + (1 - _NOT_SHARED) / ranks.size
    n_beside = ranks.n_on_host if device.type == "cpu" else 1
    per_pixel = _BYTES_PER_PIXEL.get(device.type, (0, 0))[has_layers]
    needed = n_pixels * per_pixel * share * n_beside
    free = free_bytes(device)
    if free is not None and needed > free:
        among = f" for {n_beside} processes" if n_beside > 1 else ""
        raise SanrError(
            f"a fit of views of {n_pixels / 1e6:.1f} megapixels needs about {needed / 1e9:.1f} GB "
            f"of memory on {device}{among}, {free / 1e9:.1f} GB are free; "
            "free some, use another device, or encode smaller views"
        )


def free_bytes(device: torch.device) -> int | None:
    """Memory that this process could still get, swap included; None where nothing tells it."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + cached)
    return min(_host_limits(), default=None)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error of torch or Python says that memory is short."""
    on_device = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
    return on_device or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


@contextmanager
def told_when_out_of_memory(device: torch.device) -> Iterator[None]:
    """Turn errors that say so into one line.

    Raises:
        SanrError: instead of them.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise SanrError(
            f"out of memory on {device}; free some, use another device, or encode smaller views"
        ) from None


def _host_limits() -> Iterator[int]:
    with suppress(OSError, KeyError):
        known = _numbers(Path("/proc/meminfo"))
        yield 1024 * (known["MemAvailable:"] + known.get("SwapFree:", 0))
    yield from _group_limits(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    if sys.platform != "win32":
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        with suppress(OSError, KeyError):
            if limit != resource.RLIM_INFINITY:
                yield limit - 1024 * _numbers(Path("/proc/self/status"))["VmSize:"]


def _group_limits(groups: Path, root: Path) -> Iterator[int]:
    """What the control groups of this process leave, as containers and job schedulers set them.

    Args:
        groups: Lines ``number:controllers:path``.
        root: Where the groups are mounted.
    """
    names = {
        "": ("memory.max", "memory.current", "inactive_file"),  # version 2
        "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    }
    lines: list[str] = []
    with suppress(OSError):
        lines = groups.read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        for controller in set(controllers.split(",")) & set(names):
            limit, usage, cached = names[controller]
            base = root / controller
            # In a container the path is that of the host, but the group is mounted at the root.
            own = base / path.strip("/")
            for folder in {own, *own.parents} - set(base.parents):
                with suppress(OSError, ValueError):  # the limit "max" is no number
                    free = int((folder / limit).read_text()) - int((folder / usage).read_text())
                    with suppress(OSError):
                        free += _numbers(folder / "memory.stat").get(cached, 0)
                    yield free


def _numbers(path: Path) -> dict[str, int]:
    """First number of each line, by the word before it."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
