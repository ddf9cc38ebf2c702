#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Measure how fast a .sanr file decodes: medians over fresh processes.

Usage: python examples/decode_speed.py lf.sanr [--runs 5] [--cores 2]

Import, open with first view, and further views are taken on one core; all views on `--cores`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def timed(task: Callable[[], Any]) -> tuple[Any, float, float]:
    """Result, wall seconds and CPU seconds of ``task()``."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = task()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def one_core(path: str) -> dict[str, float]:
    """Import, first view, further views."""

    def load() -> Any:
        import sanrcodec

        return sanrcodec

    sanrcodec, import_s, _ = timed(load)
    opened = sanrcodec.open(path)
    n_v, n_u = opened.grid
    _, first_s, _ = timed(lambda: sanrcodec.open(path).view(n_v // 2, n_u // 2))
    opened.view(0, 0)
    further = [timed(lambda i=i: opened.view(*divmod(i, n_u)))[1:] for i in range(n_v * n_u)[:15]]
    return {
        "import": import_s,
        "open + first view": first_s,
        "further view": statistics.median(wall for wall, _ in further),
        "further view, CPU": statistics.median(cpu for _, cpu in further),
    }


def all_views(path: str) -> dict[str, float]:
    """All views one after the other, none kept."""
    import sanrcodec

    _, wall, _ = timed(lambda: [None for _ in sanrcodec.open(path).views()])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"all views": wall, "peak MiB": peak / 1024}


def main() -> None:
    """Run every measurement in processes of its own, and print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--measure", choices=["one_core", "all_views"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(globals()[arguments.measure](arguments.file)))
        return
    for measure, cores in (("all_views", arguments.cores), ("one_core", 1)):
        command = [sys.executable, __file__, arguments.file, "--measure", measure]
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, str(cores))
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        runs = [
            json.loads(subprocess.check_output(command, env=environment))
            for _ in range(arguments.runs)
        ]
        for name in runs[0]:
            values = [run[name] for run in runs]
            print(f"{name:<20}{statistics.median(values):9.3f}   (least {min(values):.3f})")


if __name__ == "__main__":
    main()
