# SPDX-License-Identifier: MIT
"""The last correction of a fitted model: takes bits away where they are worth the least.

Each candidate moves a latent by one step to what its context predicts. What that costs follows from
the gradient of the error and from the diagonal of its Gauss-Newton Hessian, estimated with random
signs (Bekas, Kokiopoulou and Saad, 2007). Few move at a time, since they change each other's bits;
where these would rise altogether, nothing moves any more.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sanrcodec.encoder.bands import of_rows
from sanrcodec.encoder.loss import mse_yuv
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.probe import Probe

__all__ = ["drop_finest", "trim"]

_N_HALVINGS = 10  # of the number of moves, or of the latents that are kept
_PER_ROUND, _FEWEST = 0.03, 16  # moves, as a share of the latents that are not zero
_N_ROUNDS, _GROWTH = 24, 1.3  # later rounds are larger, so that all can become zero
_N_DRAWS = 6  # of random signs
_LEAST_COST = 1e-9  # squared levels


def trim(model: SceneModel, probe: Probe, fits: Callable[[Tensor], bool]) -> bool:
    """Move as few latents as needed, those first that save the most bits for their error.

    Collective.

    Args:
        model: Whose latents are replaced by integers.
        probe: The views by which the error is judged.
        fits: Tells of latents, float32 ``[N]``, whether they have few enough bits.

    Returns:
        Whether that was possible; if not, the latents have all moves that save bits.
    """
    latents = model.rounded_latents()
    possible = fits(latents)
    if not possible:
        latents, possible = _fewer_bits(model, probe, latents, fits)
    model.latents.data.copy_(latents)
    return possible


@torch.no_grad()
def drop_finest(model: SceneModel, fits: Callable[[Tensor], bool]) -> None:
    """Set as few of the finest latents to zero as needed: for a limit that nothing else keeps.

    Collective.

    Args:
        model: Whose latents are replaced by integers.
        fits: As in :func:`trim`; not yet true.
    """
    latents = model.rounded_latents()

    def kept(n: int) -> Tensor:
        """The first ``n`` latents, which are the coarsest, and zeros."""
        return torch.cat([latents[:n], torch.zeros_like(latents[n:])])

    n = _closest(0, len(latents), lambda n: fits(kept(n)))
    model.latents.data.copy_(kept(n))


def _fewer_bits(
    model: SceneModel, probe: Probe, latents: Tensor, fits: Callable[[Tensor], bool]
) -> tuple[Tensor, bool]:
    """Move latents that do not fit, round by round; tells whether they fit in the end."""
    curvature = _curvature(model, probe, latents)
    size = max(_FEWEST, int(_PER_ROUND * int((latents != 0).sum())))
    for n_before in range(_N_ROUNDS):
        step, order = _order(model, probe, latents, curvature)
        order = order[: int(size * _GROWTH**n_before)]
        moved = _moved(latents, step, order)
        if not len(order) or probe.bits(moved) >= probe.bits(latents):
            return latents, False
        if fits(moved):
            return _fewest_moves(latents, step, order, fits), True
        latents = moved
    return latents, False


def _fewest_moves(
    latents: Tensor, step: Tensor, order: Tensor, fits: Callable[[Tensor], bool]
) -> Tensor:
    """Latents after as many moves as are needed of those in order; after all of them they fit."""
    n = _closest(len(order), 0, lambda n: fits(_moved(latents, step, order[:n])))
    return _moved(latents, step, order[:n])


def _closest(good: int, bad: int, is_good: Callable[[int], bool]) -> int:
    """The good number that is closest to a bad one, by bisection to a thousandth of their way."""
    near = max(1, abs(good - bad) >> _N_HALVINGS)
    while abs(good - bad) > near:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if is_good(middle) else (good, middle)
    return good


def _moved(latents: Tensor, step: Tensor, places: Tensor) -> Tensor:
    """Those at some places moved by their steps."""
    result = latents.clone()
    result[places] += step[places]
    return result


def _order(
    model: SceneModel, probe: Probe, latents: Tensor, curvature: Tensor
) -> tuple[Tensor, Tensor]:
    """Steps ``[N]``, and places ``[K]`` that save bits, the cheapest for their error first."""
    with torch.no_grad():
        weights, _ = model.quantized_weights()
    step, saved = model.rate.moves(latents, weights)
    views, targets = _render(model, probe, x := latents.clone().requires_grad_())
    slope = torch.autograd.grad(mse_yuv(model.errors(views, targets).mean(0)), x)[0]
    for figures in (saved, slope, step):  # all processes must find the same order
        model.ranks.average_(figures)
    # Of several processes each knows the steps of its share of the latents only.
    step = step.sign()
    cost = (curvature + slope * step).clamp(min=_LEAST_COST)
    score = torch.where((step != 0) & (saved > 0), saved / cost, torch.zeros_like(saved))
    order = torch.argsort(score, descending=True, stable=True)[: int((score > 0).sum())]
    return step, order


def _curvature(model: SceneModel, probe: Probe, latents: Tensor) -> Tensor:
    """What the error gains where a latent moves by one step, ``[N]``, beside its slope.

    The diagonal of the Gauss-Newton Hessian: of the products of its root with random signs, the
    mean square.
    """
    x = latents.clone().requires_grad_()
    views, targets = _render(model, probe, x)
    errors = model.errors(views, targets).mean(0).detach().requires_grad_()
    (share,) = torch.autograd.grad(mse_yuv(errors), errors)
    band, (n_views, n_channels, _, width) = model.band, views.shape
    n_pixels = n_views * band.height * width
    scale = 255.0 * (share / n_pixels).clamp(min=0).sqrt()
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(latents)
    for _ in range(_N_DRAWS):
        # Those of whole views, so that all ranks draw the same.
        shape = n_views, n_channels, band.height, width
        signs = of_rows(torch.randint(0, 2, shape, generator=generator), band.rows)
        draw = band.part_of_sum((views * (signs.to(views) * 2 - 1) * scale[:, None, None]).sum())
        (product,) = torch.autograd.grad(draw, x, retain_graph=True)
        model.ranks.average_(product)
        total += product.square()
    return total / _N_DRAWS


def _render(model: SceneModel, probe: Probe, latents: Tensor) -> tuple[Tensor, Tensor]:
    """This rank's rows of the probe's views, and what they should be, ``[B, C, h, W]``."""
    with torch.no_grad():
        weights, _ = model.quantized_weights()
    index, targets = probe.views()
    return model.views(model.scene(latents, weights), weights, index), targets
