# SPDX-License-Identifier: MIT
"""A fit that cannot fit into memory is refused before it begins."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

from sanrcodec.errors import SanrError

pytest.importorskip("torch")

import torch

from sanrcodec.encoder import memory
from sanrcodec.encoder.distributed import Ranks

CPU = torch.device("cpu")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def group_limits(tmp_path: Path, line: str) -> list[int]:
    write(tmp_path / "cgroup", f"9:name=systemd:/\n{line}\n1:cpu,cpuacct:/a\n")
    return sorted(memory._group_limits(tmp_path / "cgroup", tmp_path / "mounted"))


def test_limits_of_control_groups(tmp_path: Path) -> None:
    root = tmp_path / "mounted"
    assert group_limits(tmp_path, "0::/job/step") == []
    for folder, limit, usage in [("job", "max", 900), ("job/step", "1000", 600)]:
        write(root / folder / "memory.max", f"{limit}\n")
        write(root / folder / "memory.current", f"{usage}\n")
    assert group_limits(tmp_path, "0::/job/step") == [400]
    write(root / "job" / "memory.max", "950\n")
    write(root / "job" / "memory.stat", "anon 3\ninactive_file 20\n")
    assert group_limits(tmp_path, "0::/job/step") == [70, 400]


def test_limits_of_control_groups_of_version_1(tmp_path: Path) -> None:
    folder = tmp_path / "mounted" / "memory"
    write(folder / "memory.limit_in_bytes", "500\n")
    write(folder / "memory.usage_in_bytes", "200\n")
    write(folder / "memory.stat", "total_inactive_file 50\ninactive_file 9\n")
    # In a container the path is of the host, and its folder does not exist.
    assert group_limits(tmp_path, "4:memory:/docker/1234") == [350]


def test_only_what_cannot_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_bytes", lambda device: 4 * 10**9)
    memory.check_memory(10**6, True, CPU)
    memory.check_memory(1_600_000, False, CPU)
    with pytest.raises(SanrError, match=r"1\.1 megapixels needs about 4\.2 GB .* 4\.0 GB are free"):
        memory.check_memory(1_100_000, True, CPU)
    memory.check_memory(10**9, True, torch.device("mps"))  # nothing is known of it
    monkeypatch.setattr(memory, "free_bytes", lambda device: None)
    memory.check_memory(10**9, True, CPU)


def test_processes_share_what_a_fit_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each GPU holds a part of it, and a host what all of its processes hold."""
    monkeypatch.setattr(memory, "free_bytes", lambda device: 7 * 10**9)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    four, gpu = Ranks(0, 4), torch.device("cuda", 0)
    with pytest.raises(SanrError, match=r"2\.0 megapixels needs about 14\.0 GB .* on cuda:0, 7\.0"):
        memory.check_memory(2 * 10**6, True, gpu)
    memory.check_memory(2 * 10**6, True, gpu, four)  # 4.6 GB each
    with pytest.raises(SanrError, match=r"on cuda:0, 7\.0 GB are free"):
        memory.check_memory(3_200_000, True, gpu, four)
    memory.check_memory(10**6, True, CPU, four)  # 4.9 GB together
    with pytest.raises(SanrError, match=r"8\.9 GB of memory on cpu for 4 processes, 7\.0 GB"):
        memory.check_memory(1_800_000, True, CPU, four)
    memory.check_memory(1_800_000, True, CPU)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_free_bytes_are_those_of_this_machine() -> None:
    free = memory.free_bytes(CPU)
    assert free is not None
    assert 1e6 < free <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") + 2**44


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs limits of a process")
def test_command_refuses_at_once(tmp_path: Path) -> None:
    np.save(tmp_path / "lf.npy", np.zeros((1, 1, 4096, 4096, 1), np.uint8))
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 * 10**10, 3 * 10**10))\n"
        "from sanrcodec.cli import main\n"
        "main(sys.argv[1:], prog_name='sanr')"
    )
    command = [sys.executable, "-c", code, "encode", "lf.npy", "-o", "x.sanr", "--quiet"]
    command += ["--device", "cpu"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: a fit of views of 16.8 megapixels needs about 63.8 GB")
    assert done.stderr.count("\n") == 1
