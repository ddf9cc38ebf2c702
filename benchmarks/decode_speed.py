#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure how fast a .sanr file decodes: medians over fresh processes.

Usage: python benchmarks/decode_speed.py lf.sanr [--runs 5] [--cores 2] [--device cuda]

All views are decoded on `--cores` cores, everything else on one. With `--device`, PyTorch computes
views there, and all their samples are compared with those of numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def timed(task: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall milliseconds and CPU milliseconds of ``task()``."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = task()
    return result, 1e3 * (time.perf_counter() - wall), 1e3 * (time.process_time() - cpu)


def load() -> Any:
    """The package with its decoder, not imported before."""
    import sanrcodec

    assert sanrcodec.open  # only what is used is imported
    return sanrcodec


def one_core(path: str) -> dict[str, float]:
    """Import, first view, further views."""
    sanrcodec, import_ms, _ = timed(load)
    opened = sanrcodec.open(path)
    n_v, n_u = opened.grid
    center = n_v // 2, n_u // 2
    _, first_ms, _ = timed(lambda: sanrcodec.open(path).view(*center))
    opened.view(*center)
    further = [timed(lambda i=i: opened.view(*divmod(i, n_u)))[1:] for i in range(n_v * n_u)[:15]]
    return {
        "import, ms": import_ms,
        "open and first view, ms": first_ms,
        "further view, ms": statistics.median(wall for wall, _ in further),
        "further view, CPU ms": statistics.median(cpu for _, cpu in further),
    }


def preview(path: str) -> dict[str, float]:
    """First view at an eighth of the size."""
    sanrcodec = load()
    task = timed(lambda: sanrcodec.open(path).view(0, 0, scale=1 / 8))
    return {"open and first view at 1/8, ms": task[1]}


def all_views(path: str) -> dict[str, float]:
    """All views one after the other, none kept."""
    import resource

    sanrcodec = load()
    _, wall, _ = timed(lambda: [None for _ in sanrcodec.open(path).views()])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"all views, ms": wall, "peak memory, MiB": peak / 1024}


def on_device(path: str, device: str) -> None:
    """Print times of the second file opened, since the first one starts the device."""
    sanrcodec = load()
    sanrcodec.open(path, device=device).view(0, 0)
    opened, open_ms, _ = timed(lambda: sanrcodec.open(path, device=device))
    _, first_ms, _ = timed(lambda: opened.view(0, 0))
    views, all_ms, _ = timed(lambda: list(opened.views()))
    n_equal = sum((a == b).all() for a, b in zip(views, sanrcodec.open(path).views(), strict=True))
    print(
        f"{device}: open {open_ms:.1f} ms, first view {first_ms:.1f} ms, "
        f"{1e3 * len(views) / all_ms:.1f} views per second, "
        f"{n_equal} of {len(views)} views equal to numpy's"
    )
    if n_equal < len(views):
        sys.exit(1)


def main() -> None:
    """Run every measurement in processes of its own, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--device")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # what a process of its own does
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(globals()[arguments.measure](arguments.file)))
        return
    if arguments.device:
        on_device(arguments.file, arguments.device)
        return
    for measure, cores in ((all_views, arguments.cores), (one_core, 1), (preview, 1)):
        command = [sys.executable, __file__, arguments.file, "--measure", measure.__name__]
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        runs = [
            json.loads(subprocess.check_output(command, env=environment))
            for _ in range(arguments.runs)
        ]
        for name in runs[0]:
            values = [run[name] for run in runs]
            print(f"{name:<32}{statistics.median(values):8.1f}   (least {min(values):.1f})")


if __name__ == "__main__":
    main()
