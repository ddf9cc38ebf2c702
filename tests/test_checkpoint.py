# SPDX-License-Identifier: MIT
"""Fits that are interrupted, or killed, and go on from their checkpoint."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import ROOT, sanr, synthetic

from sanrcodec.errors import SanrError
from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")
checkpoint = pytest.importorskip("sanrcodec.encoder.checkpoint")

Fit = Callable[..., Any]
STEPS = 40


def stop_after(n_steps: int) -> Callable[[], bool]:
    answers = iter([False] * n_steps)
    return lambda: next(answers, True)


def interrupted(fit: Fit, light_field: LightField, path: Path, **options: Any) -> Any:
    """Leave a checkpoint behind."""
    return fit(light_field, checkpoint=path, should_stop=stop_after(6), **options)


@pytest.fixture(scope="module")
def whole(fit: Fit, light_field: LightField) -> Any:
    return fit(light_field, steps=STEPS)


@pytest.mark.slow
@pytest.mark.parametrize("stops", [[0], [1, 2], [20], [39, 39]], ids=str)
def test_resumed_fit_gives_the_same_file(
    tmp_path: Path, fit: Fit, light_field: LightField, whole: Any, stops: list[int]
) -> None:
    path = tmp_path / "ck"
    done = 0
    for n_steps in stops:
        part = fit(
            light_field, steps=STEPS, checkpoint=path, should_stop=stop_after(n_steps - done)
        )
        done = n_steps
        assert (part.steps, part.finished) == (n_steps, False)
        torch.rand(7)  # another draw must not matter
    states = []
    last = fit(light_field, steps=STEPS, checkpoint=path, progress=states.append)
    assert (last.steps, last.finished) == (STEPS, True)
    assert last.content == whole.content
    if done:
        assert states[0].step == done
    # The finished fit is kept too: what is left is to write the file.
    again = fit(light_field, steps=STEPS, checkpoint=path, should_stop=lambda: True)
    assert again.content == whole.content
    assert again.finished


@pytest.mark.slow
def test_resumed_fit_of_smaller_views_gives_the_same_file(
    tmp_path: Path, fit: Fit, light_field: LightField
) -> None:
    """Preset fast begins with views of a quarter and of half the size: steps 0 and 6 of 20."""
    options = {"preset": "fast", "steps": 20}
    sizes = (4, 10)
    for done, more in zip(sizes, (4, 6), strict=True):
        part = fit(light_field, checkpoint=tmp_path / "ck", should_stop=stop_after(more), **options)
        assert (part.steps, part.finished) == (done, False)
    last = fit(light_field, checkpoint=tmp_path / "ck", **options)
    assert last.finished
    assert last.content == fit(light_field, **options).content


def test_other_profile_and_preset(tmp_path: Path, fit: Fit) -> None:
    light_field = synthetic((1, 4), (9, 14), channels=1, bit_depth=12)
    options = {"profile": "sanr", "preset": "fast", "steps": 12}
    part = interrupted(fit, light_field, tmp_path / "ck", **options)
    assert part.steps == 6
    whole = fit(light_field, **options)
    assert fit(light_field, checkpoint=tmp_path / "ck", **options).content == whole.content


@pytest.mark.slow
def test_states_are_saved_at_intervals(
    tmp_path: Path, fit: Fit, light_field: LightField, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sanrcodec.encoder.checkpoint import Checkpoint

    saved: list[int] = []
    monkeypatch.setattr(Checkpoint, "save", lambda self, state: saved.append(state["fit"]["done"]))
    fit(light_field, steps=5, checkpoint=tmp_path / "ck", checkpoint_seconds=0)
    assert saved == [0, 1, 2, 3, 4, 5]
    saved.clear()
    fit(light_field, steps=5, checkpoint=tmp_path / "ck", checkpoint_seconds=1e3)
    assert saved == [0, 5]


@pytest.mark.slow
def test_time_budget_is_that_of_all_runs(tmp_path: Path, fit: Fit, light_field: LightField) -> None:
    path, options = tmp_path / "ck", {"steps": 10**5, "time_budget": 30.0}
    interrupted(fit, light_field, path, **options)
    content = torch.load(path, weights_only=True)
    assert 0 < content["state"]["fit"]["seconds"] < 30
    content["state"]["fit"]["seconds"] = 29.999
    torch.save(content, path)
    result = fit(light_field, checkpoint=path, **options)
    assert result.finished
    assert result.steps == 6  # no time for another one


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lmbda": 4.0}, "lmbda is 8.0, here 4.0"),
        ({"steps": 41}, "steps is 40, here 41"),
        ({"seed": 1}, "seed is 0, here 1"),
        ({"preset": "slow"}, "preset is medium, here slow"),
        ({"profile": "sanr"}, "profile is default, here sanr"),
        ({"time_budget": 9.0}, "time budget is None, here 9.0"),
        ({}, "light field is "),
    ],
    ids=str,
)
def test_checkpoint_of_another_fit_is_refused(
    tmp_path: Path, fit: Fit, light_field: LightField, options: dict[str, Any], message: str
) -> None:
    path = tmp_path / "ck"
    interrupted(fit, light_field, path)
    before = path.read_bytes()
    samples = light_field.samples.copy()
    samples[1, 2, 3, 4, 1] ^= not options
    with pytest.raises(SanrError, match=message) as caught:
        fit(samples, checkpoint=path, **options)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before


def test_damaged_checkpoints_are_refused(tmp_path: Path, fit: Fit, light_field: LightField) -> None:
    path = tmp_path / "ck"
    interrupted(fit, light_field, path)
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 16
    other = tmp_path / "other"
    torch.save({"weights": torch.zeros(3)}, other)
    lengths = (0, 1, 100, len(content) // 2, len(content) - 1)
    damaged = [*(content[:n] for n in lengths), bytes(flipped), other.read_bytes(), b"\x89PNG\r\n"]
    for wrong in damaged:
        path.write_bytes(wrong)
        with pytest.raises(SanrError, match=r"this is no checkpoint, or a damaged one") as caught:
            fit(light_field, checkpoint=path)
        assert "\n" not in str(caught.value)
        assert path.read_bytes() == wrong


def _nested(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of nested dicts and lists with another value at a place."""
    if not path:
        return value
    key, *rest = path
    twin = copy.copy(content)
    if value is KeyError and not rest:
        del twin[key]
    else:
        twin[key] = _nested(content[key], tuple(rest), value) if rest else value
    return twin


CRAFTED: list[tuple[tuple[Any, ...], Any]] = [
    ((), []), (("fit",), KeyError), (("fit",), None), (("fit",), [1, 2]), (("fit", "more"), 1),
    (("fit", "done"), -1), (("fit", "done"), 10**18), (("fit", "done"), 2.5),
    (("fit", "done"), True),
    (("fit", "planned"), 10**18), (("fit", "planned"), "40"), (("fit", "planned"), KeyError),
    (("fit", "seconds"), float("nan")), (("fit", "seconds"), -1.0), (("fit", "seconds"), "1"),
    (("fit", "tensors"), KeyError), (("fit", "tensors"), []), (("fit", "tensors", 0), 3),
    (("fit", "tensors", 0), "t"), (("fit", "tensors", 0), torch.zeros(3)),
    (("fit", "tensors", 0), torch.zeros(3).to_sparse()),
    (("fit", "random"), []), (("fit", "random"), [[]]),
    (("fit", "random", 0, 0), torch.zeros(5056)),
    (("fit", "random", 0, 0), torch.zeros(3, dtype=torch.uint8)),
    (("fit", "random", 0, 0), torch.full((5056,), 255, dtype=torch.uint8)),
    (("geometry",), None), (("geometry",), KeyError), (("geometry",), 3),
    (("geometry", "near"), None), (("geometry", "near"), torch.zeros(2, 2)),
    (("geometry", "far"), torch.full((24, 32), float("inf"))),
    (("geometry", "parallax"), {}), (("geometry", "parallax", "extent"), float("inf")),
    (("geometry", "parallax", "extent"), -1.0), (("geometry", "parallax", "mirrored"), "no"),
    (("geometry", "parallax", "more"), 1), (("contest",), (True, 1.0)),
]  # fmt: skip


@pytest.mark.slow
def test_crafted_checkpoints_are_refused(tmp_path: Path, fit: Fit, light_field: LightField) -> None:
    """Of the right identity, which anybody can copy."""
    path = tmp_path / "ck"
    interrupted(fit, light_field, path)
    content = torch.load(path, weights_only=True)
    for place, value in CRAFTED:
        state = _nested(content["state"], place, value)
        torch.save({"identity": content["identity"], "state": state}, path)
        with pytest.raises(SanrError, match="checkpoint") as caught:
            fit(light_field, checkpoint=path)
        assert "\n" not in str(caught.value), place
    torch.save(content, path)
    assert fit(light_field, checkpoint=path).finished


@pytest.mark.slow
def test_a_checkpoint_that_unpacks_to_more_is_refused(
    tmp_path: Path, fit: Fit, light_field: LightField
) -> None:
    path = tmp_path / "ck"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(1 << 28))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(SanrError, match="this is no checkpoint"):
            checkpoint.Checkpoint(path, {}).load()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 24
    with pytest.raises(SanrError, match="this is no checkpoint"):
        fit(light_field, checkpoint=path)


@pytest.mark.slow
def test_checkpoint_that_cannot_be_written_is_told_at_once(
    tmp_path: Path, fit: Fit, light_field: LightField
) -> None:
    with pytest.raises(SanrError, match="cannot write"):
        fit(light_field, steps=10**6, checkpoint=tmp_path / "none" / "ck")


# ------------------------------------------------------------------- command


def command(folder: Path, *options: Any) -> list[str]:
    arguments = ["encode", folder / "lf.png", "-o", folder / "out.sanr", "--device", "cpu"]
    arguments += ["--steps", STEPS, "--checkpoint", folder / "ck", "--preset", "medium", *options]
    return list(map(str, arguments))


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
@pytest.mark.usefixtures("mosaic")
def test_killed_command_goes_on(tmp_path: Path, whole: Any) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "sanrcodec", *command(tmp_path, "--checkpoint-every", 0)],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        try:
            lines = iter(process.stderr.readline, "")
            assert next(line for line in lines if line.startswith("step ")).startswith("step 10/")
        finally:
            process.kill()
    assert not (tmp_path / "out.sanr").exists()
    done = torch.load(tmp_path / "ck", weights_only=True)["state"]["fit"]["done"]
    assert done >= 9
    result = sanr(*command(tmp_path))
    assert result.exit_code == 0, result.output
    steps = [line for line in result.stderr.splitlines() if line.startswith("step ")]
    assert steps[0].startswith(f"step {done}/{STEPS}  ")
    assert (tmp_path / "out.sanr").read_bytes() == whole.content
    assert not (tmp_path / "ck").exists()


@pytest.mark.usefixtures("mosaic")
@pytest.mark.parametrize("finished", [True, False])
def test_checkpoint_goes_when_a_finished_fit_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, finished: bool
) -> None:
    from sanrcodec import encoder

    def encode(*_: Any, checkpoint: Path, checkpoint_seconds: float, **__: Any) -> SimpleNamespace:
        assert checkpoint_seconds == 60
        checkpoint.write_bytes(b"state")
        return SimpleNamespace(
            content=b"file", steps=3, finished=finished, bpp=1.0, psnr_yuv=30.0, psnr_yuv_min=29.0,
            estimated_bytes=4, device="cpu", lmbda=8.0, missed="", unused="",
            warnings=(), geometry="found",
        )  # fmt: skip

    monkeypatch.setattr(encoder, "encode", encode)
    result = sanr(*command(tmp_path))
    assert result.exit_code == (0 if finished else 3), result.output
    assert (tmp_path / "out.sanr").read_bytes() == b"file"
    assert (tmp_path / "ck").exists() != finished
    assert ("--force goes on" in result.stderr) != finished


@pytest.mark.usefixtures("mosaic")
def test_checkpoint_path_is_checked_before_any_work(tmp_path: Path) -> None:
    for path, message in [
        (tmp_path / "lf.png", "is the input or the output"),
        (tmp_path / "out.sanr", "is the input or the output"),
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "ck", "no such folder"),
    ]:
        result = sanr(*command(tmp_path), "--checkpoint", path)
        assert result.exit_code == 2
        assert message in result.stderr


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_input_that_is_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "lf.png").symlink_to("lf.png")
    result = sanr(*command(tmp_path))
    assert result.exit_code == 1
    assert result.stderr == f"Error: {tmp_path / 'lf.png'}: no such file or folder\n"


@pytest.mark.usefixtures("mosaic")
def test_refused_checkpoint_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "ck").write_bytes(b"something else")
    result = sanr(*command(tmp_path), "--quiet")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {tmp_path / 'ck'}: this is no checkpoint")
    assert result.stderr.count("\n") == 1
    assert (tmp_path / "ck").read_bytes() == b"something else"
    assert not (tmp_path / "out.sanr").exists()
