# SPDX-License-Identifier: MIT
"""What a file may cost its reader, and that no file costs more."""

from __future__ import annotations

import dataclasses
import math
import os
import pickle
import signal
import threading
import time
import tracemalloc
import warnings
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bombs import BOMBS, LEAST, MOST, file_of, sized
from conftest import assert_ok, assert_refused, sanr
from headers import HEADER
from make_vectors import FOLDER

import sanrcodec
from sanrcodec import limits
from sanrcodec.bitstream import container
from sanrcodec.bitstream.container import SectionType
from sanrcodec.bitstream.grids import grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.residuals import n_blocks
from sanrcodec.decoder import SanrFile
from sanrcodec.errors import LargeFileWarning, LightFieldError, LimitError, SanrError
from sanrcodec.presets import PROFILES
from sanrcodec.scene.parts import default_weights
from sanrcodec.scene.scene import Scene

VECTOR = FOLDER / "default.sanr"
WITHOUT_RESIDUALS = FOLDER / "random_three_layers.sanr"


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    content = file_of(*BOMBS[name])
    opened = sanrcodec.open(content)
    tracemalloc.start()
    try:
        begun = time.process_time()
        for options in ({}, {"region": (0, 1, 0, 1)}):
            with pytest.raises(LimitError, match="bytes"):
                opened.view(0, 0, **options)
        seconds, (_, peak) = time.process_time() - begun, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seconds < 2
    assert peak < 1 << 23


def test_a_file_of_few_words_is_left_after_few_symbols() -> None:
    """Where the limits are lifted: words that are not there are not read as zeros."""
    header = sized(LEAST, 1024)
    opened = sanrcodec.open(file_of(header, 8), max_work=math.inf, max_pixels=math.inf)
    with pytest.raises(SanrError, match="after 2 words"):
        opened.view(0, 0)


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize(
    ("grid", "size", "n_bytes"),
    [((9, 9), (512, 512), 600), ((1, 1), (2160, 3840), 600), ((17, 17), (4320, 7680), 9000)],
)
def test_usual_files_are_within_the_limits(
    profile: str, grid: tuple[int, int], size: tuple[int, int], n_bytes: int
) -> None:
    own = {"n_v", "n_u", "height", "width", "margin_y", "margin_x"}
    values = {k: v for k, v in dataclasses.asdict(HEADER).items() if k not in own}
    header = StreamHeader(
        **values | PROFILES[profile], n_v=grid[0], n_u=grid[1], height=size[0], width=size[1],
        margin_y=0, margin_x=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        limits.check(header, n_bytes, 0, None, None)


def test_a_warning_comes_before_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    content = VECTOR.read_bytes()
    found = limits.pixels(sanrcodec.open(content).header)
    for limit, outcome in ((found, ""), (found - 1, "warns"), (found // 2, "raises")):
        monkeypatch.setattr(limits, "MAX_PIXELS", limit - (outcome == "raises"))
        opened = sanrcodec.open(content)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if outcome == "raises":
                with pytest.raises(
                    LimitError, match=r"pixels on all layers, the limit is .*max_pi"
                ):
                    opened.view(0, 0)
            else:
                opened.view(0, 0)
        assert [w.category for w in caught] == [LargeFileWarning] * (outcome == "warns")
    monkeypatch.setattr(limits, "MAX_PIXELS", math.inf)
    sanrcodec.open(content).view(0, 0)


@pytest.mark.parametrize("name", ["max_pixels", "max_work"])
def test_limits_of_a_call(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = {"max_pixels": limits.pixels, "max_work": limits.work}[name]
    header = sanrcodec.open(WITHOUT_RESIDUALS).header
    whole, small = measure(header, 0), measure(header, 2)
    assert small < whole
    with pytest.raises(LimitError, match=f"raise {name} "):
        sanrcodec.open(WITHOUT_RESIDUALS, **{name: whole - 1}).view(0, 0)
    with pytest.raises(LimitError, match=f"raise {name} "):
        sanrcodec.open(WITHOUT_RESIDUALS, **{name: whole - 1}).latents  # noqa: B018
    sanrcodec.open(WITHOUT_RESIDUALS, **{name: whole}).view(0, 0)
    previews = sanrcodec.open(WITHOUT_RESIDUALS, **{name: small})
    previews.view(0, 0, scale=1 / 4)
    with pytest.raises(LimitError):
        previews.view(0, 0, scale=1 / 2)
    monkeypatch.setattr(limits, name.upper(), 0)
    with pytest.raises(LimitError):
        sanrcodec.open(WITHOUT_RESIDUALS).view(0, 0)
    sanrcodec.open(WITHOUT_RESIDUALS, **{name: math.inf}).view(0, 0)


def test_flags_of_residuals_are_work() -> None:
    header = sanrcodec.open(VECTOR).header
    scene = limits.work(header)
    assert SectionType.RESIDUALS in sanrcodec.open(VECTOR).sections
    with pytest.raises(LimitError, match="raise max_work "):
        sanrcodec.open(VECTOR, max_work=scene).view(0, 0)
    sanrcodec.open(VECTOR, max_work=scene).view(0, 0, scale=1 / 2)
    sanrcodec.open(VECTOR, max_work=scene + 500 * n_blocks(header)).view(0, 0)


@pytest.mark.parametrize("name", ["max_pixels", "max_work"])
@pytest.mark.parametrize("limit", [math.nan, -1, "5", [5]], ids=str)
def test_what_is_no_limit_is_refused(name: str, limit: Any) -> None:
    """Nothing is above NaN, so that it would lift the limit."""
    with pytest.raises(LightFieldError, match=rf"^{name} is "):
        sanrcodec.open(VECTOR, **{name: limit})
    flag = f"--{name.replace('_', '-')}"
    assert_refused(sanr("info", VECTOR, flag, "nan"), 2, flag)


def test_limits_of_the_command(tmp_path: Path) -> None:
    header = sanrcodec.open(VECTOR).header
    output = tmp_path / "view.png"
    decode = ("decode", VECTOR, "--view", "0,0", "-o", output)
    work = limits.work(header)
    assert_refused(sanr(*decode, "--max-work", work / 2.1), 1, "(sanr: --max-work)")
    assert_refused(sanr("verify", VECTOR, "--max-pixels", 10), 1, "(sanr: --max-pixels)")
    for decodes_nothing in ("info", "export", "view"):
        told = sanr(decodes_nothing, VECTOR, "--max-pixels", 10)
        assert_refused(told, 2, "No such option")
    warned = sanr(*decode, "--max-work", work / 1.5)
    assert_ok(warned)
    assert warned.stderr.startswith("Warning: ")
    assert warned.stderr.count("\n") == 1
    assert "-> " not in assert_ok(sanr(*decode, "--force", "--max-work", "inf"))
    assert sanr(*decode, "--force").stderr == ""  # the limit was that of one call


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{}, {"features": 3}, {"layers": 1}, {"layers": 0}, {"layers": 0, "texture_levels": 1}],
    ids=str,
)
def test_memory_stays_within_what_the_text_says(change: dict[str, Any]) -> None:
    """format_spec.md section 11, for the largest models, at a canvas that a test can afford."""
    header = sized(dataclasses.replace(MOST, n_v=2, n_u=2, **change), 256)
    latents = [np.zeros(grid.shape, np.int32) for grid in grids(header)]
    weights = default_weights(header)
    tracemalloc.start()
    scene = Scene(header, weights, latents)
    kept, _ = tracemalloc.get_traced_memory()
    scene.render(0, 0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    canvas = header.canvas[0] * header.canvas[1]
    samples = canvas * header.n_textures * (header.features + 1)
    blocks = 256 << 20  # of some thousand pixels, whatever the canvas
    assert kept <= 8 * samples + 8 * header.n_textures * canvas + blocks
    assert peak <= 8 * samples + (5 * header.features + 112) * canvas + blocks


def test_an_interrupted_view_leaves_the_file_usable(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sanrcodec.open(VECTOR).view(1, 1)
    n_grids = len(sanrcodec.open(VECTOR).latents)
    from sanrcodec.bitstream import latents

    original = latents._predict
    for stop_at in (0, 1, 30, 90):
        calls = iter(range(10**6))

        def interrupted(*arguments: Any, calls: Any = calls, stop_at: int = stop_at) -> Any:
            if next(calls) == stop_at:
                raise KeyboardInterrupt
            return original(*arguments)

        opened = sanrcodec.open(VECTOR)
        with monkeypatch.context() as patch:
            patch.setattr(latents, "_predict", interrupted)
            with pytest.raises(KeyboardInterrupt):
                opened.view(0, 0)
        np.testing.assert_array_equal(opened.view(1, 1), expected)
        assert len(opened.latents) == n_grids


def test_an_interrupt_at_the_end_does_not_skip_its_check(monkeypatch: pytest.MonkeyPatch) -> None:
    from sanrcodec.bitstream.coder import SymbolDecoder

    sections = container.unpack(VECTOR.read_bytes()).sections.values()
    damaged = container.pack(
        [(s.type, s.payload + bytes(4) * (s.type == SectionType.LATENTS)) for s in sections]
    )
    opened = sanrcodec.open(damaged)
    assert opened.weights
    with monkeypatch.context() as patch:
        patch.setattr(SymbolDecoder, "finish", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            opened.view(0, 0)
    for _ in range(2):
        with pytest.raises(SanrError, match="does not end"):
            opened.view(0, 0)


def test_files_can_be_pickled_and_copied() -> None:
    opened = sanrcodec.open(VECTOR, max_work=1e12)
    expected = opened.view(1, 2)
    for twin in (pickle.loads(pickle.dumps(opened)), copy(opened), deepcopy(opened)):
        assert isinstance(twin, SanrFile)
        assert (twin.name, twin.n_bytes, twin.header) == (
            opened.name,
            opened.n_bytes,
            opened.header,
        )
        np.testing.assert_array_equal(twin.view(1, 2), expected)
    assert len(pickle.dumps(opened)) < opened.n_bytes + 1000
    with pytest.raises(LimitError):
        pickle.loads(pickle.dumps(sanrcodec.open(VECTOR, max_pixels=1))).view(0, 0)


def test_files_are_context_managers() -> None:
    with sanrcodec.open(VECTOR) as opened:
        opened.view(0, 0)
    with pytest.raises(SanrError, match="closed"):
        opened.view(0, 0)
    with pytest.raises(SanrError, match="closed"):
        opened.latents  # noqa: B018
    opened.close()
    assert opened.grid == (3, 3)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork in a process with threads
def test_files_survive_a_fork_while_a_thread_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    from sanrcodec.bitstream import latents

    expected = sanrcodec.open(VECTOR).view(1, 2)
    opened = sanrcodec.open(VECTOR)
    inside, go_on = threading.Event(), threading.Event()
    original = latents._predict

    def waiting(*arguments: Any) -> Any:
        inside.set()
        go_on.wait(60)
        return original(*arguments)

    monkeypatch.setattr(latents, "_predict", waiting)
    thread = threading.Thread(target=opened.view, args=(0, 0))
    thread.start()
    assert inside.wait(60)  # the thread holds the file's lock, and its latents are half decoded
    child = os.fork()
    if child == 0:
        code = 1
        try:
            latents._predict = original
            code = 0 if np.array_equal(opened.view(1, 2), expected) else 2
        finally:
            os._exit(code)
    begun = time.monotonic()
    done, status = os.waitpid(child, os.WNOHANG)
    while not done and time.monotonic() < begun + 60:
        time.sleep(0.05)
        done, status = os.waitpid(child, os.WNOHANG)
    if not done:
        os.kill(child, 9)
        os.waitpid(child, 0)
    go_on.set()
    thread.join()
    assert done
    assert os.waitstatus_to_exitcode(status) == 0
    np.testing.assert_array_equal(opened.view(1, 2), expected)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of fork in a process with threads
def test_views_go_on_in_a_process_that_was_forked_between_them() -> None:
    """Its threads are gone, and would be waited for without end."""
    expected = list(sanrcodec.open(VECTOR).views())
    views = sanrcodec.open(VECTOR).views()
    next(views)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(60)
            rest = list(views)
            code = 0 if all(map(np.array_equal, rest, expected[1:])) and len(rest) == 8 else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert all(map(np.array_equal, views, expected[1:]))
