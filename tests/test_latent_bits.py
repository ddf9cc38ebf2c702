# SPDX-License-Identifier: MIT
"""The bits of latents in torch against their formula, op by op."""

from __future__ import annotations

import pytest
from conftest import synthetic

torch = pytest.importorskip("torch")

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX  # noqa: E402
from sanrcodec.bitstream.grids import N_CONTEXT  # noqa: E402
from sanrcodec.encoder import rate  # noqa: E402
from sanrcodec.encoder.latent_bits import Block, Network, bits_of  # noqa: E402
from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.quantize import laplace_bits  # noqa: E402
from sanrcodec.presets import PROFILES, Parallax, make_header  # noqa: E402

_N, _N_ZEROS, _N_HIDDEN, _N_GRIDS, _N_KINDS = 30, 4, 3, 2, 2


def _formula(
    latents: torch.Tensor, blocks: list[Block], networks: list[tuple[torch.Tensor, ...]]
) -> torch.Tensor:
    padded = torch.cat([latents, latents.new_zeros(_N_ZEROS)])
    total = latents.new_zeros(())
    for block in blocks:
        hidden, hidden_bias, output, shortcut, pass_bias, grid_bias = networks[block.network]
        near = padded[block.contexts.long()].view(N_CONTEXT, -1).clamp(-CONTEXT_MAX, CONTEXT_MAX)
        inputs = torch.cat([near, torch.log2(1 + near.abs())])
        k = block.kind
        units = torch.relu(hidden[k] @ inputs + hidden_bias[k][:, None])
        found = output[k] @ units + shortcut[k] @ inputs + pass_bias[k][:, None]
        location, log_scale = found + grid_bias.T @ block.is_of_grid
        scale = 2 ** (log_scale.clamp(0, 9.75) - 4.25)
        total = total + laplace_bits(latents[block.coded.long()], location, scale).sum()
    return total


def test_bits_and_gradients_are_those_of_the_formula() -> None:
    torch.manual_seed(0)
    latents = (torch.randn(_N, dtype=torch.float64) * 3).round()
    latents[:4] = torch.tensor([0.0, CONTEXT_MAX, CONTEXT_MAX + 9.0, -300.0])  # clamped; escapes
    latents.requires_grad_()
    networks = [
        tuple(
            (torch.randn(shape, dtype=torch.float64) * 0.3).requires_grad_()
            for shape in (
                (_N_KINDS, _N_HIDDEN, 2 * N_CONTEXT), (_N_KINDS, _N_HIDDEN),
                (_N_KINDS, 2, _N_HIDDEN), (_N_KINDS, 2, 2 * N_CONTEXT), (_N_KINDS, 2),
                (_N_GRIDS, 2),
            )
        )
        for _ in range(2)
    ]  # fmt: skip
    order = torch.randperm(_N).int()
    blocks = []
    for i, coded in enumerate(order.split(8)):  # two blocks of each network, of both kinds
        contexts = torch.randint(_N + _N_ZEROS, (N_CONTEXT * len(coded),)).int()
        of_grid = torch.eye(_N_GRIDS, dtype=torch.float64)[torch.randint(_N_GRIDS, coded.shape)]
        blocks.append(Block(i // 2, i % 2, contexts, coded, of_grid.T))
    found = bits_of(latents, blocks, [Network.of(*tensors) for tensors in networks], _N_ZEROS)
    expected = _formula(latents, blocks, networks)
    torch.testing.assert_close(found, expected)
    parameters = [latents, *networks[0], *networks[1]]
    gradients = torch.autograd.grad(3 * found, parameters)
    for gradient, wanted in zip(
        gradients, torch.autograd.grad(3 * expected, parameters), strict=True
    ):
        assert wanted.abs().max() > 0
        torch.testing.assert_close(gradient, wanted)
    with torch.no_grad():  # which has no gradients to find
        torch.testing.assert_close(
            bits_of(latents, blocks, [Network.of(*tensors) for tensors in networks], _N_ZEROS),
            expected,
        )


def test_blocks_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """However few latents a block has, bits and gradients are those of all at once."""
    header = make_header(synthetic((2, 2), (24, 32)), PROFILES["default"], Parallax(2.0), 16)
    torch.manual_seed(0)
    model = SceneModel(header)
    latents = torch.round(3 * torch.randn(model.latents.shape)).requires_grad_()
    weights = {
        name: (weight + 0.05 * torch.randn_like(weight)).detach().requires_grad_()
        for name, weight in model.quantized_weights()[0].items()
    }
    parameters = [latents, *(x for name, x in weights.items() if name.startswith("arm."))]

    def found() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        part = rate.LatentRate(header, model.latent_vector, "cpu")
        bits = part(latents, weights)
        return bits, torch.autograd.grad(bits, parameters)

    bits, gradients = found()
    monkeypatch.setattr(rate, "_BLOCK", 50)
    by_few, their_gradients = found()
    torch.testing.assert_close(by_few, bits)
    for gradient, expected in zip(their_gradients, gradients, strict=True):
        assert (gradient - expected).norm() < 1e-4 * expected.norm()
