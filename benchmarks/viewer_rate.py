#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Count the views a second that the page of a .sanr file draws in a headless Chromium.

Usage: python benchmarks/viewer_rate.py lf.sanr [--seconds 6] [--rounds 2]

The page turns the viewpoint. Rounds go through all ways of making views in turn, so that other
programs on the machine disturb all of them alike. Processor time is that of all processes of the
browser, on Linux. SANR_CHROMIUM can name the browser.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from sanrcodec.viewer.page import build_page

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from chromium import Browser, find_chromium

WINDOW = (1200, 800)
SETTLE_S = 3.0
WASM = " 'wasm-unsafe-eval'"  # in the policy of the page
THREADS = ("--disable-gpu", "--disable-3d-apis")
GL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
ALL_PIXELS = "sanrViewer.viewer.renderer.hasRough = false"
ROUGH = "sanrViewer.viewer.nSlow = 99"  # as while the viewpoint moves on a slow machine
# Options of the browser, fragment of the address, what is left out of the page, and a script.
WAYS: dict[str, tuple[tuple[str, ...], str, str, str]] = {
    "threads, WebAssembly": (THREADS, "", "", ALL_PIXELS),
    "threads, WebAssembly, rough": (THREADS, "", "", ROUGH),
    "threads, JavaScript": (THREADS, "", WASM, ""),
    "WebGL2 by the processor": (GL, "#renderer=webgl2", "", ALL_PIXELS),
    "WebGL2 by the processor, rough": (GL, "#renderer=webgl2", "", ROUGH),
}  # fmt: skip


def processor_seconds(root: int) -> float:
    """Processor time of a process and of all below it so far; NaN where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return float("nan")
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # ended meanwhile
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), int(fields[11]) + int(fields[12])

    def is_below(pid: int) -> bool:
        while pid != root and pid in parents:
            pid = parents[pid]
        return pid == root

    return sum(ticks[pid] for pid in ticks if is_below(pid)) / os.sysconf("SC_CLK_TCK")


def measure(content: bytes, way: str, seconds: float) -> tuple[float, float]:
    """Views a second, and processor seconds for a view."""
    options, fragment, left_out, script = WAYS[way]
    chromium = find_chromium()
    if chromium is None:
        raise SystemExit("no Chromium is installed (SANR_CHROMIUM can name one)")
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(build_page(content, "lf.sanr").replace(left_out, "", 1), encoding="utf-8")
        browser = Browser(chromium, Path(folder), *options)
        try:
            browser.size(*WINDOW)
            browser.navigate(page.as_uri() + fragment)
            browser.evaluate("sanrViewer.ready.then(() => true)")
            browser.evaluate(f"{script or 0}; sanrViewer.viewer.set({{turning: true}}); true")
            time.sleep(SETTLE_S)

            def state() -> tuple[float, int, float]:
                n_drawn = browser.evaluate("sanrViewer.viewer.nDrawn")
                return time.monotonic(), n_drawn, processor_seconds(browser.pid)

            before = state()
            time.sleep(seconds)
            elapsed, n_views, busy = (b - a for a, b in zip(before, state(), strict=True))
        finally:
            browser.close()
    return n_views / elapsed, busy / max(n_views, 1)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description="Views a second that the page draws.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    content = arguments.file.read_bytes()
    print("| views are made by | views per second | processor time for a view |\n|---|---|---|")
    for _ in range(arguments.rounds):
        for way in WAYS:
            rate, busy = measure(content, way, arguments.seconds)
            print(f"| {way} | {rate:.1f} | {1000 * busy:.0f} ms |", flush=True)


if __name__ == "__main__":
    main()
