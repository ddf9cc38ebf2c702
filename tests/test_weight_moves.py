# SPDX-License-Identifier: MIT
"""Single weights that move at the end of a fit."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sanrcodec.lightfield import LightField

torch = pytest.importorskip("torch")

from sanrcodec.encoder.model import SceneModel  # noqa: E402
from sanrcodec.encoder.probe import Probe  # noqa: E402
from sanrcodec.encoder.scene import Known  # noqa: E402
from sanrcodec.encoder.weight_moves import move_weights  # noqa: E402

_LMBDA = 4.0
_N_VIEWS = 3


@pytest.fixture
def fitted(model: tuple[SceneModel, LightField]) -> Iterator[tuple[SceneModel, Probe]]:
    """A model whose state is put back afterwards."""
    model_, light_field = model
    state = [model_.weight_vector.step, model_.weights.data, model_.latents.data]
    kept = [part.clone() for part in state]
    yield model_, Probe(model_, light_field, _N_VIEWS)
    for part, before in zip(state, kept, strict=True):
        part.copy_(before)


def cost(model: SceneModel, probe: Probe) -> float:
    with torch.no_grad():
        figures = model.figures(model.rounded_latents(), *probe.views(), Known())
    return float(figures[0] + _LMBDA * figures[2] / (model.header.height * model.header.width))


def place(model: SceneModel, name: str) -> slice:
    specs = [spec.name for spec in model.weight_vector.specs]
    return model.weight_vector.slices[specs.index(name)]


def move(model: SceneModel, probe: Probe, n_tries: int = 40, **options: object) -> int:
    return move_weights(model, probe, _LMBDA, n_tries=n_tries, views_at_once=2, **options)


def test_a_shifted_color_comes_back(fitted: tuple[SceneModel, Probe]) -> None:
    """What straight-through rounding may leave: a bias on the wrong side, in every view."""
    model, probe = fitted
    move(model, probe, 200)
    good, bias = cost(model, probe), place(model, "view.output.bias")
    model.weights.data[bias.start + 1] += 3 * float(model.weight_vector.quantum[bias.start + 1])
    bad = cost(model, probe)
    assert bad > 1.001 * good
    assert move(model, probe) >= 1
    assert cost(model, probe) < good + 0.3 * (bad - good)


def test_only_weights_move_and_by_whole_steps(fitted: tuple[SceneModel, Probe]) -> None:
    """What rounding takes off a weight stays: finer steps, if a target asks for them, need it."""
    model, probe = fitted
    model.weight_vector.step.fill_(4.0)
    quantum = model.weight_vector.quantum
    with torch.no_grad():
        model.weights.copy_((torch.round(model.weights / quantum) + 0.3) * quantum)
    weights, latents = model.weights.detach().clone(), model.latents.detach().clone()
    before = cost(model, probe)
    n_moved = move(model, probe)
    changed = (model.weights.detach() - weights) / quantum
    assert torch.allclose(changed, changed.round(), atol=1e-3)
    assert n_moved >= changed.round().abs().sum() > 0
    assert torch.equal(model.latents, latents)
    assert (model.weight_vector.step == 4.0).all()
    assert cost(model, probe) < before


def test_moves_never_cost(fitted: tuple[SceneModel, Probe]) -> None:
    model, probe = fitted
    costs = [cost(model, probe)]
    for _ in range(6):
        move(model, probe, 5)
        costs.append(cost(model, probe))
    assert costs == sorted(costs, reverse=True)
    assert costs[-1] < costs[0]


def test_held_weights_stay(fitted: tuple[SceneModel, Probe]) -> None:
    model, probe = fitted
    held = torch.ones(model.weights.numel(), dtype=torch.bool)
    assert move(model, probe, held=held) == 0
    part = place(model, "texture.output.bias")
    held[part] = False
    weights = model.weights.detach().clone()
    move(model, probe, held=held)
    assert torch.equal(model.weights[held], weights[held])


def test_no_more_tries_than_asked_for_and_none_after_a_stop(
    fitted: tuple[SceneModel, Probe], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, probe = fitted
    measured, figures = [], model.figures

    def counted(*arguments: object) -> object:
        measured.append(arguments)
        return figures(*arguments)

    monkeypatch.setattr(model, "figures", counted)
    assert move(model, probe, should_stop=lambda: True) == 0
    n_batches = len(measured)
    assert n_batches == 2  # the cost before, of three views by twos
    move(model, probe, 7)
    assert len(measured) - 2 * n_batches <= 7 * n_batches


def test_important_views_count_for_more(fitted: tuple[SceneModel, Probe]) -> None:
    """With a factor of zero for all views but one, that one gains what the others may lose."""
    model, probe = fitted
    index, target = probe.views()

    def error(k: int) -> float:
        with torch.no_grad():
            one, latents = slice(k, k + 1), model.rounded_latents()
            return float(model.figures(latents, index[one], target[one], Known())[0])

    before = error(0)
    one = index[0]
    move(model, probe, 60, importance=lambda i: (i == one).float() * _N_VIEWS + 1e-6)
    assert error(0) < before
