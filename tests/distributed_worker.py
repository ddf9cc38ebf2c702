# SPDX-License-Identifier: MIT
"""What test_distributed.py runs under torchrun: one scenario, chosen by the first argument."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from conftest import synthetic

import sanrcodec.encoder as encoder
from sanrcodec.encoder import distributed
from sanrcodec.encoder.fitting import fit
from sanrcodec.encoder.guide import GeometryGuide
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe
from sanrcodec.encoder.quantize import straight_through
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.encoder.trim import _curvature
from sanrcodec.errors import SanrError
from sanrcodec.presets import PRESETS, PROFILES, Parallax, Preset, make_header


def replicas(ranks: distributed.Ranks) -> None:
    """All ranks end with the same model, though rows, views and rated latents were their own."""
    light_field = synthetic((1, 4), (16, 20))
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    model = SceneModel(header, ranks=ranks)
    done, finished = fit(
        model, light_field, None, PRESETS["medium"], lmbda=8.0, steps=12,
        should_stop=lambda: ranks.rank == 1,  # rank 0 decides
    )  # fmt: skip
    assert (done, finished) == (12, True)
    flat = torch.cat([model.latents, model.weights]).detach()
    assert flat.abs().sum() > 0
    assert len(set(ranks.gather(hashlib.sha256(flat.numpy()).hexdigest()))) == 1
    assert len(set(ranks.gather(torch.rand(1).item()))) == 1


def exact(ranks: distributed.Ranks, device: torch.device) -> None:
    """The mean of the ranks' gradients is that of one process, and so is all else that decides."""
    torch.backends.cudnn.allow_tf32 = False
    # Rows that do not divide, and fewer than three ranks can share.
    for profile, height in (("default", 77), ("sanr", 37), ("default", 7)):
        light_field = synthetic((2, 3), (height, 26))
        torch.manual_seed(0)
        header = make_header(light_field, PROFILES[profile], Parallax(3.0), 16)
        alone = SceneModel(header, device, has_rare_colors=True)
        model = SceneModel(header, device, ranks, has_rare_colors=True)
        alone.latents.data.normal_(std=2).round_()
        alone.weights.data.normal_(std=0.05)
        model.load_state_dict(alone.state_dict())
        index = torch.tensor([0, 5, 2, 0], device=device)
        target, importance = torch.rand(4, 3, height, 26).to(device), torch.rand(4).to(device)
        target[:2, 1:, :2, :2] += 3  # a color that is rare, in rows of the first rank
        near, far = torch.randn(2, height, 26, device=device)
        for level in (2, 1, 0):
            costs, gradients = [], []
            for m in (alone, model):
                m.set_level(level)
                cost, figures, scene = m.loss(
                    index, target[:, :, m.rows.start : m.rows.stop], straight_through, 8.0,
                    importance, torch.ones((), device=device),
                )  # fmt: skip
                if header.layers:
                    cost = cost + GeometryGuide(m.band, Geometry(near, far, Parallax(3.0)))(scene)
                gradients.append(torch.autograd.grad(cost, [m.latents, m.weights]))
                costs.append(torch.stack([cost.detach(), *figures["view_mse"], figures["mse"]]))
            ranks.average_(costs[1])
            torch.testing.assert_close(*costs)
            for whole, gradient in zip(*gradients, strict=True):
                ranks.average_(gradient)
                assert whole.norm() > 0
                assert (gradient - whole).norm() < 1e-4 * whole.norm()
        probes = [Probe(m, light_field, 3) for m in (alone, model)]
        psnr = [probe.psnr_yuv() for probe in probes]
        curvature = [_curvature(p.model, p, p.model.rounded_latents()) for p in probes]
        assert psnr[1] == pytest.approx(psnr[0], abs=0.01)
        assert (curvature[1] - curvature[0]).norm() < 1e-3 * curvature[0].norm()
        for fitted in (model, alone):
            preset = Preset(steps=20, views_per_step=4)
            fit(fitted, light_field, None, preset, lmbda=8.0, steps=20)
        torch.testing.assert_close(model.latents, alone.latents, rtol=0, atol=0.01)
        torch.testing.assert_close(model.weights, alone.weights, rtol=0, atol=0.01)


def mean(ranks: distributed.Ranks) -> None:
    """Gradients are averaged, values follow rank 0, errors of one rank reach all."""
    x = torch.full((5,), float(ranks.rank))
    ranks.average_(x)
    assert (x == (ranks.size - 1) / 2).all()
    assert ranks.follow(7.0 + ranks.rank, ranks.rank) == [7.0, 0.0]

    def refuse() -> None:
        raise SanrError(f"of rank {ranks.rank}")

    for collective, first in (
        (ranks.share, 0),
        (lambda make: ranks.each(make if ranks.rank == 1 else lambda: None), 1),
    ):
        with pytest.raises(SanrError, match=f"^of rank {first}$"):
            collective(refuse)
    assert ranks.local_device("cpu") == "cpu"
    assert ranks.local_device("cuda") == f"cuda:{ranks.rank}"


def together() -> str:
    """What ranks can do after each other; they cannot join twice."""
    with distributed.joined() as ranks:
        if ranks.size > 2:
            replicas(ranks)
            mean(ranks)
        device = torch.device(ranks.local_device(sys.argv[2]))
        with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
            ranks.use(device)  # last: from now on the ranks average there
            exact(ranks, device)
    return f"{ranks.size} ranks agree"


def loss() -> str:
    """A rank that dies ends the others with one clear line."""
    with distributed.joined() as ranks:
        if ranks.rank == 1:
            os._exit(3)
        try:
            for _ in range(100):
                ranks.average_(torch.zeros(1000))
        except SanrError as error:
            # torchrun stops this process as soon as it notices.
            Path(sys.argv[2]).write_text(str(error))
        os._exit(3)


def mismatch() -> str:
    """Ranks with different options refuse to work together, all of them."""
    with pytest.raises(SanrError, match="differ in input, options or kind of device"):
        encoder.encode(synthetic((2, 2), (8, 8)), seed=int(os.environ["RANK"]), device="cpu")
    return "refused"


if __name__ == "__main__":
    torch.set_num_threads(1)
    line = {f.__name__: f for f in (together, loss, mismatch)}[sys.argv[1]]()
    if os.environ["RANK"] == "0":
        print(line)
