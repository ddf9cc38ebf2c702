# SPDX-License-Identifier: MIT
from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch")

from sanrcodec.bitstream.tables import MAX_RESIDUAL  # noqa: E402
from sanrcodec.encoder.quantize import laplace_bits, noisy_round  # noqa: E402


@pytest.mark.parametrize("scale", [0.0526, 0.5, 3.0, 45.0])
@pytest.mark.parametrize("location", [0.0, 0.3, -2.5])
def test_bits_are_those_of_a_laplace_distribution_in_steps(scale, location):
    x = torch.arange(-20, 21, dtype=torch.float64)
    scales = torch.full_like(x, scale)
    at = torch.distributions.Laplace(torch.tensor(location, dtype=torch.float64), scale)
    mass = at.cdf(x + 0.5) - at.cdf(x - 0.5)
    bits = laplace_bits(x, torch.full_like(x, location), scales)
    near = mass > 1e-9  # differences of distributions are not exact behind
    torch.testing.assert_close(bits[near], -torch.log2(mass[near]), rtol=1e-6, atol=1e-9)
    assert torch.isfinite(laplace_bits(1e5 * x, torch.zeros_like(x), scales)).all()


def test_bits_of_wide_distributions_are_not_lost_to_rounding():
    x, scale = torch.tensor([0.0, 0.25, 7.0]), torch.tensor([1e6, 1e6, 1e6])
    bits = laplace_bits(x, torch.zeros(3), scale)
    torch.testing.assert_close(bits, torch.full((3,), math.log2(2e6)), rtol=1e-5, atol=0)


def test_an_escape_has_the_mass_of_the_tails_and_a_code():
    x = torch.tensor([MAX_RESIDUAL + 1.0, -MAX_RESIDUAL - 8.0])
    bits = laplace_bits(x, torch.zeros(2), torch.full((2,), 2.0))
    tails = (MAX_RESIDUAL + 0.5) / 2 / math.log(2)
    torch.testing.assert_close(bits, torch.tensor([tails + 2, tails + 2 + 2 * 3]))


def test_bits_have_the_gradient_of_their_formula():
    torch.manual_seed(0)
    n = 40
    # Of all sizes: within a step, beyond it, and escapes.
    x = torch.randn(n, dtype=torch.float64) * torch.tensor([0.2, 1.0, 10.0, 80.0]).repeat(n // 4)
    location, scale = 0.1 * torch.randn(n).double(), torch.exp2(4 * torch.rand(n).double() - 2)
    inputs = [t.requires_grad_() for t in (x, location, scale)]
    assert torch.autograd.gradcheck(laplace_bits, inputs)
    assert torch.autograd.gradcheck(laplace_bits, [t.detach() for t in inputs[:2]] + inputs[2:])
    constant = [t.detach() for t in inputs[1:]]
    assert torch.autograd.gradcheck(laplace_bits, [inputs[0], *constant])


def test_rounding_without_noise_keeps_whole_and_half_steps():
    x = torch.tensor([-1.5, -1.0, 0.0, 0.5, 2.0, 0.1, 0.9], dtype=torch.float64)
    temperature, no_noise = torch.tensor([0.2, 0.0], dtype=torch.float64)
    y = noisy_round(x, temperature, no_noise)
    assert y.tolist()[:5] == pytest.approx(x.tolist()[:5])
    assert 0 < float(y[5]) < 0.1
    assert 0.9 < float(y[6]) < 1


def test_noisy_rounding_has_the_gradient_of_its_values():
    x = torch.linspace(-3.3, 2.9, 40, dtype=torch.float64, requires_grad=True)
    temperature, width = torch.tensor([0.3, 0.7], dtype=torch.float64)

    def rounded(x):
        torch.manual_seed(0)
        return noisy_round(x, temperature, width)

    assert torch.autograd.gradcheck(rounded, x)
    assert (rounded(x) - x).abs().max() > 0.3
