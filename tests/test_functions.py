# SPDX-License-Identifier: MIT
from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from sanrcodec.encoder import functions  # noqa: E402
from sanrcodec.encoder.functions import (  # noqa: E402
    clamp,
    clamp_inward,
    dense,
    smooth_axis,
    upsample_axis,
)

TAPS = ((0.0, 1.0, 0.0, 0.0), (-0.25, 0.5, 1.0, -0.125))
BEFORE = 1


@pytest.fixture(params=["all at once", "plane by plane"])
def blocks(request, monkeypatch):
    if request.param == "plane by plane":
        monkeypatch.setattr(functions, "_BLOCK", 1)


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_doubling_follows_its_formula(axis, n):
    torch.manual_seed(n)
    x = torch.randn(2, n, n, dtype=torch.float64)
    doubled = upsample_axis(x, TAPS, axis, BEFORE, 2 * n)
    for i in range(n):
        for p, taps in enumerate(TAPS):
            expected = sum(
                tap * x.select(axis, min(max(i + k - BEFORE, 0), n - 1))
                for k, tap in enumerate(taps)
            )
            torch.testing.assert_close(doubled.select(axis, 2 * i + p), expected)
    cut = upsample_axis(x, TAPS, axis, BEFORE, 2 * n - 1)
    torch.testing.assert_close(cut, doubled.narrow(axis, 0, 2 * n - 1))


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_doubling_has_the_gradient_of_its_formula(axis, n):
    x = torch.randn(2, n, n, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: upsample_axis(x, TAPS, axis, BEFORE, 2 * n - 1), x)


@pytest.mark.parametrize("n", [1, 2, 3, 64])
def test_a_matrix_doubles_as_shifted_copies_do(n):
    """What a GPU does, and what a CPU does."""
    x = torch.randn(3, n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix = functions._matrix(TAPS, BEFORE, n, x.device, x.dtype)
    torch.testing.assert_close(matrix @ x, upsample_axis(x, TAPS, -2, BEFORE, 2 * n))
    back = x.mT.contiguous()
    torch.testing.assert_close(back @ matrix.T, upsample_axis(back, TAPS, -1, BEFORE, 2 * n))


@pytest.mark.parametrize("axis", [-2, -1])
@pytest.mark.parametrize("n", [1, 2, 3, 8])
def test_smoothing_follows_its_formula_and_has_its_gradient(axis, n):
    torch.manual_seed(n)
    x, taps = torch.randn(2, n, n, dtype=torch.float64, requires_grad=True), (0.5, 0.25, -0.125)
    smooth = smooth_axis(x, taps, axis)
    for i in range(n):
        expected = sum(
            taps[abs(k)] * x.select(axis, min(max(i + k, 0), n - 1)) for k in range(-2, 3)
        )
        torch.testing.assert_close(smooth.select(axis, i), expected)
    assert torch.autograd.gradcheck(lambda x: smooth_axis(x, taps, axis), x)


@pytest.mark.parametrize("shape", [(3, 1), (2, 3, 5), (2, 3, 1)])
def test_dense_is_a_product_at_every_place(shape):
    torch.manual_seed(0)
    weight, bias, x = (torch.randn(s, dtype=torch.float64) for s in ((3, 4), shape, (2, 4, 5)))
    torch.testing.assert_close(dense(weight, bias, x), weight @ x + bias)


def test_clamp_has_the_gradient_of_the_clamp_of_torch():
    x = torch.tensor([-2.0, -1.0, 0.5, 2.0, 3.0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
    for bounds in ((-1.0, 2.0), (torch.full((5,), -1.0), torch.full((5,), 2.0))):
        y, expected = clamp(x, *bounds), torch.clamp(x, *bounds)
        assert torch.equal(y, expected)
        found, exact = (torch.autograd.grad(z, x, weights)[0] for z in (y, x.clamp(-1.0, 2.0)))
        assert torch.equal(found, exact)


def test_clamp_inward_keeps_the_gradient_that_points_back():
    x = torch.tensor([-1.0, 0.5, 2.0, 2.0], requires_grad=True)
    y = clamp_inward(x, 0.0, 1.0)
    assert y.tolist() == [0.0, 0.5, 1.0, 1.0]
    # Gradient descent moves against the gradient: outward ones are dropped.
    (gradient,) = torch.autograd.grad(y, x, torch.tensor([1.0, 1.0, 1.0, -1.0]))
    assert gradient.tolist() == [0.0, 1.0, 1.0, 0.0]
