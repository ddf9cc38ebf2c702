# SPDX-License-Identifier: MIT
"""What test_distributed.py runs under torchrun: one scenario, chosen by the first argument."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import pytest
import torch
from conftest import synthetic

import sanrcodec.encoder as encoder
from sanrcodec.encoder import distributed
from sanrcodec.encoder.fitting import fit
from sanrcodec.encoder.model import SceneModel
from sanrcodec.errors import SanrError
from sanrcodec.presets import PRESETS, PROFILES, Parallax, make_header


def replicas() -> str:
    """All ranks end with the same model, though noise, views and rated latents were their own."""
    light_field = synthetic((1, 4), (16, 20))
    header = make_header(light_field, PROFILES["default"], Parallax(1.0), 16)
    with distributed.joined() as ranks:
        model = SceneModel(header, share=(ranks.rank, ranks.size))
        done, finished = fit(
            model, light_field, None, PRESETS["medium"], lmbda=8.0, steps=12, ranks=ranks,
            should_stop=lambda: ranks.rank == 1,  # rank 0 decides
        )  # fmt: skip
        assert (done, finished) == (12, True)
        flat = torch.cat([model.latents, model.weights]).detach()
        assert flat.abs().sum() > 0
        assert len(set(ranks.gather(hashlib.sha256(flat.numpy()).hexdigest()))) == 1
        assert len(set(ranks.gather(torch.rand(1).item()))) == ranks.size
    return f"{ranks.size} equal replicas"


def mean() -> str:
    """Gradients are averaged, values follow rank 0, errors of one rank reach all."""
    with distributed.joined() as ranks:
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
    return "averaged"


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
    line = {f.__name__: f for f in (replicas, mean, loss, mismatch)}[sys.argv[1]]()
    if os.environ["RANK"] == "0":
        print(line)
