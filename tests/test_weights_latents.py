# SPDX-License-Identifier: MIT
from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from headers import FLAT, HEADER

from sanrcodec.bitstream.entropy_network import CONTEXT_MAX, EntropyNetwork
from sanrcodec.bitstream.grids import LATENT_MAX, N_CONTEXT, PassKind, grids
from sanrcodec.bitstream.header import StreamHeader
from sanrcodec.bitstream.latents import latent_bits, pack_latents, unpack_latents
from sanrcodec.bitstream.weights import WEIGHT_MAX, pack_weights, unpack_weights
from sanrcodec.errors import CorruptSectionError
from sanrcodec.scene.parts import default_weights

SMALL = dataclasses.replace(HEADER, n_v=2, n_u=3, height=9, width=13, margin_y=1, margin_x=2)
SMALL_FLAT = dataclasses.replace(FLAT, height=1, width=17)
HEADERS = pytest.mark.parametrize("header", [SMALL, SMALL_FLAT], ids=["default", "sanr"])

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]
DRAWS: dict[str, Draw] = {
    "zero": lambda rng, shape: np.zeros(shape),
    "narrow": lambda rng, shape: rng.laplace(0, 0.3, shape),
    "wide": lambda rng, shape: rng.laplace(0, 60, shape),
    "extreme": lambda rng, shape: rng.choice([-1e9, -1, 0, 1, 1e9], shape),
}
DRAW = pytest.mark.parametrize("draw", DRAWS.values(), ids=list(DRAWS))


def weights_of(header: StreamHeader, draw: Draw, limit: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    return {
        name: default + np.rint(np.clip(draw(rng, default.shape), -limit, limit)).astype(np.int32)
        for name, default in default_weights(header).items()
    }


def latents_of(header: StreamHeader, draw: Draw) -> list[np.ndarray]:
    rng = np.random.default_rng(6)
    return [
        np.rint(np.clip(draw(rng, g.shape), -LATENT_MAX, LATENT_MAX)).astype(np.int32)
        for g in grids(header)
    ]


@HEADERS
@DRAW
def test_weights_round_trip(header: StreamHeader, draw: Draw) -> None:
    defaults, weights = default_weights(header), weights_of(header, draw, WEIGHT_MAX)
    decoded = unpack_weights(defaults, pack_weights(defaults, weights))
    assert list(decoded) == list(defaults)
    for name, values in weights.items():
        assert decoded[name].dtype == np.int32
        np.testing.assert_array_equal(decoded[name], values)


@HEADERS
@DRAW
@pytest.mark.parametrize("weight_draw", ["zero", "narrow", "wide"])
def test_latents_round_trip(header: StreamHeader, draw: Draw, weight_draw: str) -> None:
    weights, latents = weights_of(header, DRAWS[weight_draw], 1000), latents_of(header, draw)
    payload = pack_latents(header, weights, latents)
    decoded = list(unpack_latents(header, weights, payload))
    assert len(decoded) == len(latents)
    for ours, original in zip(decoded, latents, strict=True):
        assert ours.dtype == np.int32
        np.testing.assert_array_equal(ours, original)
    estimate = latent_bits(header, weights, latents) / 8
    assert estimate <= len(payload) + 1
    assert len(payload) <= 1.002 * estimate + 8


@pytest.mark.parametrize("limit", [0, 300])
def test_carriers_of_both_widths_predict_the_same(limit: int) -> None:
    """Single precision is taken up to a magnitude of the contexts that keeps its sums exact."""
    weights = weights_of(HEADER, DRAWS["extreme"], limit)
    arm, wide = EntropyNetwork(weights, "texture"), EntropyNetwork(weights, "texture")
    wide.narrow_peak[:] = -1
    rng = np.random.default_rng(2)
    for kind, peak in zip(PassKind, arm.narrow_peak, strict=True):
        assert 0 < peak <= CONTEXT_MAX
        near = rng.integers(-peak, peak, (N_CONTEXT, 500), endpoint=True).astype(np.float32)
        results = [a(near.copy(), np.arange(N_CONTEXT), kind, 2) for a in (arm, wide)]
        np.testing.assert_array_equal(*results)
    assert limit == 0 or arm.narrow_peak.min() < CONTEXT_MAX


def test_default_weights_are_cheap() -> None:
    defaults = default_weights(HEADER)
    payload = pack_weights(defaults, defaults)
    assert len(payload) <= 32


@pytest.mark.slow
@pytest.mark.parametrize("shift", range(9))
def test_coarse_differences_save_their_shift(shift: int) -> None:
    """All elements of a tensor lose as many bits as the step grows by."""
    defaults = default_weights(HEADER)
    fine = weights_of(HEADER, DRAWS["wide"], 100)
    n = sum(default.size for default in defaults.values())
    coarse = {k: default + ((fine[k] - default) << shift) for k, default in defaults.items()}
    payload = pack_weights(defaults, coarse)
    decoded = unpack_weights(defaults, payload)
    for name, values in coarse.items():
        np.testing.assert_array_equal(decoded[name], values)
    assert abs(len(payload) - len(pack_weights(defaults, fine))) < 0.01 * n


def test_zero_latents_are_cheap_to_claim_but_not_free() -> None:
    """The smallest file that a canvas can have bounds what a reader must allocate."""
    weights = weights_of(HEADER, DRAWS["zero"], 0)
    for name, values in weights.items():
        if name.endswith("grid_bias"):
            values[:, 1] = -(2**14)  # the narrowest tables
    payload = pack_latents(HEADER, weights, latents_of(HEADER, DRAWS["zero"]))
    assert 0 < len(payload) < 64


@HEADERS
def test_damaged_weights_raise_our_error_or_decode(header: StreamHeader) -> None:
    defaults = default_weights(header)
    payload = pack_weights(defaults, weights_of(header, DRAWS["narrow"], 9))
    rng = np.random.default_rng(7)
    messages = []
    for _ in range(60):
        damaged = bytearray(payload)
        damaged[rng.integers(len(payload))] ^= 1 << int(rng.integers(8))
        try:
            unpack_weights(defaults, bytes(damaged))
        except CorruptSectionError as error:
            messages.append(str(error))
    assert messages
    assert all("tensor " in message or "stream" in message for message in messages)


def test_latent_out_of_range_is_refused() -> None:
    weights = weights_of(SMALL, DRAWS["zero"], 0)
    latents = latents_of(SMALL, DRAWS["zero"])
    latents[3][0, 0] = LATENT_MAX + 1
    payload = pack_latents(SMALL, weights, latents)
    with pytest.raises(CorruptSectionError, match=r"latent exceeds \+-511"):
        list(unpack_latents(SMALL, weights, payload))


def test_weight_out_of_range_is_refused() -> None:
    defaults, weights = default_weights(SMALL), weights_of(SMALL, DRAWS["zero"], 0)
    name = "texture.output.bias"
    weights[name][0] = defaults[name][0] + WEIGHT_MAX + 1
    with pytest.raises(CorruptSectionError, match=r"texture\.output\.bias: a difference exceeds"):
        unpack_weights(defaults, pack_weights(defaults, weights))


def test_payload_of_no_whole_words_is_refused() -> None:
    defaults = default_weights(SMALL)
    payload = pack_weights(defaults, weights_of(SMALL, DRAWS["narrow"], 9))
    with pytest.raises(CorruptSectionError, match="multiple of 4"):
        unpack_weights(defaults, payload[:-1])
    with pytest.raises(CorruptSectionError, match="does not end"):
        unpack_weights(defaults, payload + b"\xff" * 12)
