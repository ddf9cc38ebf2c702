# SPDX-License-Identifier: MIT
"""The fit: rate-distortion optimization of a scene model to one light field.

Phases: noisy rounding at a falling temperature (C3, Kim et al., CVPR 2024), with the swept
disparity as a guide in the first tenth; then the latents are rounded and only the networks go on.
Must not know of files or of the bitstream.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from sanrcodec.encoder.distributed import ALONE, Ranks
from sanrcodec.encoder.model import SceneModel
from sanrcodec.encoder.presets import Preset
from sanrcodec.encoder.quantize import annealing, noisy_round, straight_through
from sanrcodec.encoder.sweep import Geometry
from sanrcodec.errors import SanrError
from sanrcodec.lightfield import LightField

__all__ = ["FitProgress", "fit"]

_logger = logging.getLogger(__name__)

_GUIDED = 0.1  # of the fit: the swept disparity guides the geometry
_HARD = 0.95  # from here on the latents are rounded and rest; the networks follow
# Their rate when they begin to, of the preset's: higher again, since the noise has gone.
_HARD_RATE = 0.1
_GUIDE_WEIGHT = 20.0
_COARSEN_STEPS = 30  # about as long takes the search for the weights' steps
_LOG_EVERY = 25
_REPORT_SECONDS = 2.0
_READ_AHEAD = 2  # steps
_RANK_SEED = 0x9E3779B9  # torch's generator on the CPU looks at 32 bits only
_BETAS = (0.9, 0.99)
# Adam's epsilon for the latents, in gradients that lmbda gives to one bit: without it the latents
# that nothing pulls at wander at full rate, and each that strays over a threshold costs bits.
_LATENT_EPSILON = 1.0

# A view whose PSNR is further below the mean counts for more and more, until it is not: what few
# views see, occluded parts above all, is otherwise left out for the sake of many.
_MAX_GAP = 1.3  # dB; what is left to 1.5 is for the end of the fit, when latents are rounded
_IMPORTANCE_GAIN = 0.02  # per dB beyond and step that sees the view, of the factor's logarithm
_MAX_IMPORTANCE = 8.0
_RECENT = 0.3  # share of a view's latest error in what is known of it

# Compiling kernels takes a minute, and saves 3 to 4 ms of a step: only long fits win it back.
_FUSED_STEPS, _FUSED_SECONDS = 15000, 200.0
_FUSED_TOLERANCE = 0.02  # of a gradient's norm

# Full-range BT.709, as in format_spec.md section 8.4.
_YCC_FROM_RGB = (
    (0.2126, 0.7152, 0.0722),
    (-0.2126 / 1.8556, -0.7152 / 1.8556, 0.5),
    (0.5, -0.7152 / 1.5748, -0.0722 / 1.5748),
)


@dataclass(frozen=True, slots=True)
class FitProgress:
    """State of a fit, for progress lines.

    Attributes:
        step, steps: Done and planned.
        bpp: Estimated bits per pixel of the file.
        psnr_yuv: Of the latest views, in dB, before rounding to samples.
        seconds_left: Estimate.
    """

    step: int
    steps: int
    bpp: float
    psnr_yuv: float
    seconds_left: float


class _Adam:
    """Adam for one flat tensor, with its rate in a tensor so that a CUDA graph can replay it."""

    def __init__(self, parameter: Tensor, epsilon: float) -> None:
        self.parameter, self.epsilon = parameter, epsilon
        self.mean = torch.zeros_like(parameter)
        self.square = torch.zeros_like(parameter)

    @torch.no_grad()
    def step(self, gradient: Tensor, rate: Tensor, count: Tensor) -> None:
        b1, b2 = _BETAS
        self.mean.lerp_(gradient, 1 - b1)
        self.square.mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
        corrected = (self.square / (1 - b2**count)).sqrt_().add_(self.epsilon)
        self.parameter.sub_(self.mean / corrected * (rate / (1 - b1**count)))


class _HostBatch(NamedTuple):
    """Views on their way to the device, and when the last copy of them has arrived there."""

    samples: Tensor
    index: Tensor
    copied: torch.cuda.Event | None


class _Views:
    """The views of each step, as YCbCr targets.

    All samples stay on the host, where a thread reads those of the next steps ahead: the device
    holds one batch, however many views there are.

    Args:
        light_field: Whose views are read, one after the other.
        order: int64 ``[n, B]``, the views of each step.
        device: Of the targets.

    Attributes:
        index: int64 ``[B]``, the views of the step that was loaded last. Like the samples it keeps
            its place on the device, so that a CUDA graph can read it.
    """

    def __init__(self, light_field: LightField, order: np.ndarray, device: torch.device) -> None:
        self.light_field, self.order = light_field, order
        shape = (order.shape[1], *light_field.shape[2:])
        # Not every torch computes with uint16: its bits travel as int16.
        dtype = torch.uint8 if light_field.samples.dtype == np.uint8 else torch.int16
        self.index = torch.zeros(order.shape[1], dtype=torch.int64, device=device)
        self._samples = torch.zeros(shape, dtype=dtype, device=device)
        self._peak = float((1 << light_field.bit_depth) - 1)
        self._matrix = torch.tensor(_YCC_FROM_RGB, device=device)
        self._on_gpu = device.type == "cuda"
        # Beside those being read ahead, the buffers whose copies to the device may still go on.
        self._buffers = [
            _HostBatch(
                torch.zeros(shape, dtype=dtype, pin_memory=self._on_gpu),
                torch.zeros(order.shape[1], dtype=torch.int64, pin_memory=self._on_gpu),
                torch.cuda.Event() if self._on_gpu else None,
            )
            for _ in range(2 * _READ_AHEAD)
        ]
        self._pool = ThreadPoolExecutor(1)
        self._pending: deque[Future[_HostBatch]] = deque()
        self._next = 0

    def start(self, step: int) -> None:
        """Begin to read; :meth:`load` will load this step first."""
        self._next = step
        for _ in range(_READ_AHEAD):
            self._request()

    def load(self) -> None:
        """Bring the next step's views to their place on the device."""
        batch = self._pending.popleft().result()
        self._samples.copy_(batch.samples, non_blocking=True)
        self.index.copy_(batch.index, non_blocking=True)
        if batch.copied:
            batch.copied.record()
        self._request()

    def targets(self) -> Tensor:
        """The loaded views, float32 ``[B, C, H, W]``."""
        samples = self._samples
        if samples.dtype == torch.int16:
            samples = samples.int() & 0xFFFF
        batch = samples.float() / self._peak
        if batch.shape[-1] == 3:
            batch = batch @ self._matrix.T
        return batch.permute(0, 3, 1, 2)

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown(cancel_futures=True)

    def _request(self) -> None:
        batch = self._buffers[self._next % len(self._buffers)]
        if batch.copied:
            batch.copied.synchronize()
        self._pending.append(self._pool.submit(self._read, batch, self._next))
        self._next += 1

    def _read(self, batch: _HostBatch, step: int) -> _HostBatch:
        index = self.order[step % len(self.order)]
        batch.index.numpy()[:] = index
        samples = batch.samples.numpy()
        if samples.dtype == np.int16:
            samples = samples.view(np.uint16)
        for target, i in zip(samples, index.tolist(), strict=True):
            target[...] = self.light_field.view(*divmod(i, self.light_field.grid[1]))
        return batch


class _Fit:
    """One running fit: a step per phase, captured as a CUDA graph where there is such a device."""

    def __init__(
        self,
        model: SceneModel,
        views: _Views,
        preset: Preset,
        steps: int,
        lmbda: float,
        geometry: Geometry | None,
        ranks: Ranks,
        fuse: bool,
    ) -> None:
        self.ranks = ranks
        self.model, self.views, self.preset, self.lmbda = model, views, preset, lmbda
        self.latent_rate = preset.latent_rate_at(lmbda)
        device = model.latents.device
        self.device = device
        header = model.header
        self.count = torch.zeros((), device=device)
        self.total = torch.full((), float(steps), device=device)
        self.figures = torch.zeros(2, device=device)
        self.optimizers = (
            _Adam(model.latents, _LATENT_EPSILON * lmbda / (header.height * header.width)),
            _Adam(model.weights, 1e-12),
        )
        self.guide = _guide(model, geometry)
        self.round = noisy_round
        self.fuse = fuse
        self.view_mse = torch.zeros(header.n_v * header.n_u, device=device)  # 0: not known yet
        self.log_importance = torch.zeros_like(self.view_mse)
        # Gradients of latents and weights, what the log shows, and the sum of each view's errors
        # and their number: all that the ranks average.
        sizes = [model.latents.numel(), model.weights.numel(), 2, 2 * len(self.view_mse)]
        self.averaged = torch.zeros(sum(sizes), device=device)
        self.parts = self.averaged.split(sizes)
        self.coarsened = torch.zeros(())  # not on the device: asking it would wait
        self.graphs: dict[tuple[str, str], torch.cuda.CUDAGraph] = {}

    def phase(self, progress: float) -> str:
        if progress >= _HARD:
            return "hard"
        return "guided" if progress < _GUIDED and self.guide is not None else "noisy"

    def advance(self, phase: str) -> None:
        """One optimization step."""
        self.views.load()
        if phase == "hard" and not self.coarsened:
            self._coarsen()
        if self.fuse:
            self.fuse = False
            self._fuse()
        if self.ranks.size == 1:
            self._run(self._step, phase)
            return
        # Between two graphs: a collective inside one would bind all ranks to the same replays.
        self._run(self._backward, phase)
        self.ranks.average_(
            self.averaged if phase != "hard" else self.averaged[self.model.latents.numel() :]
        )
        self._run(self._update, phase)

    def _coarsen(self) -> None:
        """Coarsen the weights' steps, as soon as the latents rest; what is left adapts to them."""
        # The compiled parts are for steps with gradients.
        fused = self.model.fuse(False)
        views = self.views
        self.model.coarsen(views.index, views.targets(), self.lmbda, self.ranks.average_)
        self.model.fuse(fused)
        self.coarsened.fill_(1)

    def _fuse(self) -> None:
        """Compile a step's parts to few kernels, where that works and gives the same gradients."""
        noise = torch.rand_like(self.model.latents) - 0.5
        expected = self._probe(noise)
        self.model.fuse()
        self.round = _fused_round()
        try:
            found = self._probe(noise)
            reason = "the compiled step differs"
            same = all(
                float((f - e).norm()) <= _FUSED_TOLERANCE * float(e.norm())
                for f, e in zip(found, expected, strict=True)
            )
        except Exception as error:  # whatever a missing Triton or C compiler raises
            same, reason = False, str(error).splitlines()[0]
        if not same:
            _logger.warning("the fit runs slower, without compiled kernels: %s", reason)
            self.model.fuse(False)
            self.round = noisy_round

    def _probe(self, noise: Tensor) -> tuple[Tensor, ...]:
        """Gradients of latents and weights at the current state for a given noise."""

        def quantize(x: Tensor) -> Tensor:
            return self.round(x, noise.new_tensor(0.2), noise)

        loss, _, _ = self.model.loss(self.views.index, self.views.targets(), quantize, self.lmbda)
        return torch.autograd.grad(loss, [o.parameter for o in self.optimizers])

    def _run(self, part: Callable[[str], None], phase: str) -> None:
        if self.device.type != "cuda":
            part(phase)
            return
        key = part.__name__, phase
        if key not in self.graphs:
            if any(past != phase for _, past in self.graphs):
                # Phases do not come back, and each graph holds all the memory that a step needs.
                torch.cuda.synchronize(self.device)
                self.graphs.clear()
            self.graphs[key] = self._capture(part, phase)
        self.graphs[key].replay()

    def _capture(self, part: Callable[[str], None], phase: str) -> torch.cuda.CUDAGraph:
        # Warm-up steps outside the graph must not count: keep and restore the state.
        state = [t.clone() for t in self.state()]
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(2):
                part(phase)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        # NCCL watches its own work from another thread meanwhile.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            part(phase)
        self.restore(state)
        return graph

    def state(self) -> list[Tensor]:
        """All that a step changes, random numbers aside."""
        model = self.model
        tensors = [self.count, self.figures, model.latents.data, model.weights.data]
        tensors += [self.coarsened, model.coarseness, self.view_mse, self.log_importance]
        return tensors + [t for o in self.optimizers for t in (o.mean, o.square)]

    @torch.no_grad()
    def restore(self, state: list[Tensor]) -> None:
        """Go back to an earlier :meth:`state`."""
        for tensor, kept in zip(self.state(), state, strict=True):
            tensor.copy_(kept)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on where another process was."""
        if [t.shape for t in state["tensors"]] != [t.shape for t in self.state()]:
            raise SanrError("the checkpoint is of another scene model; remove it to begin anew")
        self.restore(state["tensors"])
        random = state["random"][self.ranks.rank]
        torch.set_rng_state(random[0])
        if self.device.type == "cuda" and len(random) > 1:
            torch.cuda.set_rng_state(random[1], self.device)

    def _step(self, phase: str) -> None:
        self._backward(phase)
        self._update(phase)

    def _backward(self, phase: str) -> None:
        """Gradients and figures of this rank's views."""
        model = self.model
        progress = (self.count / self.total).clamp(max=1.0)

        if phase == "hard":
            quantize = straight_through
        else:
            temperature, width = annealing(progress / _HARD)

            def quantize(x: Tensor) -> Tensor:
                return self.round(x, temperature, width * (torch.rand_like(x) - 0.5))

        index = self.views.index
        importance = len(self.log_importance) * self.log_importance.softmax(0)  # 1 in the mean
        loss, figures, scene = model.loss(
            index, self.views.targets(), quantize, self.lmbda, importance.index_select(0, index)
        )
        if phase == "guided":
            loss = loss + self.guide(scene) * (1 - progress / _GUIDED)
        parameters = self.optimizers if phase != "hard" else self.optimizers[1:]
        gradients = torch.autograd.grad(loss, [o.parameter for o in parameters])
        view_mse = torch.stack([figures["view_mse"], torch.ones_like(figures["view_mse"])])
        view_mse = view_mse.new_zeros(2, len(self.view_mse)).index_add(1, index, view_mse)
        figures = torch.stack([figures["bits"], figures["mse"].log()])
        for part, values in zip(
            self.parts[-len(parameters) - 2 :],
            (*gradients, figures, view_mse.flatten()),
            strict=True,
        ):
            part.copy_(values)

    def _update(self, phase: str) -> None:
        """One step of the optimizers along the averaged gradients."""
        progress = (self.count / self.total).clamp(max=1.0)
        *gradients, figures, view_mse = self.parts
        self.count += 1
        decay = _cosine(progress).clamp(min=0.02)
        warm = (self.count / 20).clamp(max=1.0)
        rates = self.latent_rate * decay, self.preset.weight_rate * decay
        if phase == "hard":
            again = _cosine((progress - _HARD) / (1 - _HARD))
            rates = rates[0], self.preset.weight_rate * _HARD_RATE * again
        first = int(phase == "hard")  # the latents rest
        for optimizer, gradient, rate in zip(
            self.optimizers[first:], gradients[first:], rates[first:], strict=True
        ):
            optimizer.step(gradient, rate * warm, self.count)
        self._weigh_views(view_mse.view(2, -1), progress)
        self.figures.lerp_(figures, 0.1)
        self.figures.add_((self.count <= 1).float() * (figures - self.figures))

    def _weigh_views(self, latest: Tensor, progress: Tensor) -> None:
        """Adapt the importance of the views that a step has seen: an integral controller.

        Args:
            latest: ``[2, n_views]``, sums of their errors and how many these are.
            progress: Of the fit. While the geometry is still guided, nothing happens.
        """
        total, times = latest
        seen, known = (times > 0).float(), (self.view_mse > 0).float()
        self.view_mse.lerp_(total / times.clamp(min=1e-6), seen * (1 - (1 - _RECENT) * known))
        known = (self.view_mse > 0).float()
        level = 10 * torch.log10(self.view_mse + 1e-3)
        gap = level - (level * known).sum() / known.sum()
        growth = _IMPORTANCE_GAIN * (gap - _MAX_GAP) * seen * (progress >= _GUIDED)
        self.log_importance.add_(growth).clamp_(0.0, math.log(_MAX_IMPORTANCE))


def _cosine(progress: Tensor) -> Tensor:
    """Decay from 1 to 0 (Loshchilov and Hutter, ICLR 2017)."""
    return 0.5 * (1 + torch.cos(torch.pi * progress))


def _order(n_views: int, batch: int, steps: int, seed: int) -> np.ndarray:
    """Views of each step, int64 ``[steps, batch]``: every view once per round, in random order."""
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-steps * batch // n_views)
    order = torch.cat([torch.randperm(n_views, generator=generator) for _ in range(rounds)])
    return order[: steps * batch].reshape(steps, batch).numpy()


@cache
def _fused_round() -> Callable[..., Tensor]:
    return torch.compile(noisy_round, dynamic=True)


def _guide(model: SceneModel, geometry: Geometry | None) -> Callable[..., Tensor] | None:
    """Squared distance of the scene's geometry from the swept one, on the canvas."""
    header = model.header
    if not header.layers or geometry is None:
        return None
    n = header.layers
    fractions = [i / max(1, n - 1) for i in range(n)]
    planes = torch.stack([geometry.near + f * (geometry.far - geometry.near) for f in fractions])
    margins = (header.margin_x, header.margin_x, header.margin_y, header.margin_y)
    target = torch.nn.functional.pad(planes[None], margins, mode="replicate")[0]

    def guide(scene: tuple[Tensor, Tensor | None]) -> Tensor:
        texture, disparity = scene
        cost = (disparity - target).square().mean()
        if n > 1:
            seen = texture[: n - 1, -1, ::2, ::2]
            cost = cost + 0.5 * (seen - 1).square().mean()
        return _GUIDE_WEIGHT * cost

    return guide


def fit(
    model: SceneModel,
    light_field: LightField,
    geometry: Geometry | None,
    preset: Preset,
    *,
    lmbda: float,
    steps: int,
    time_budget: float | None = None,
    seed: int = 0,
    progress: Callable[[FitProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    ranks: Ranks = ALONE,
    state: dict[str, Any] | None = None,
    save: Callable[[dict[str, Any]], None] | None = None,
    save_seconds: float = 60.0,
) -> tuple[int, bool]:
    """Fit a model in place.

    Args:
        model: From its initial state; the same on all ranks, and again afterwards, but that each
            estimates the rate of its own share of the latents.
        light_field: What to fit.
        geometry: From the plane sweep, or None.
        preset: Rates, and views per step. The ranks share these evenly, with a few more if they do
            not divide, and one each at least: neither fewer steps nor larger batches pay off.
        lmbda: Weight of the rate in ``D + lmbda * R``.
        steps: Planned steps.
        time_budget: Seconds after which the fit must be over, those before ``state`` included; the
            schedule shrinks to fit it.
        seed: Of the order of views and of the noise.
        progress: Called every few steps, on rank 0.
        should_stop: Polled every step, of rank 0; True ends the fit early with the state reached.
        ranks: The processes that share the views of each step.
        state: Where to go on, as given to ``save``.
        save: Called on rank 0 with the state before the first step, now and then, and at the end.
        save_seconds: Between two such calls, about.

    Returns:
        Steps done, and whether these are all that were planned.

    Raises:
        SanrError: the state is of another model.
    """
    device = model.latents.device
    n_pixels = int(np.prod(light_field.shape[:4]))
    n_views = n_pixels // (model.header.height * model.header.width)
    batch = min(-(-preset.views_per_step // ranks.size), n_views)
    order = _order(n_views, batch * ranks.size, steps, seed)
    mine = order[:, ranks.rank * batch : (ranks.rank + 1) * batch]
    # Each rank draws noise of its own, so that their average is less noisy.
    torch.manual_seed((seed + ranks.rank * _RANK_SEED) % 2**63)
    with closing(_Views(light_field, mine, device)) as views:
        fuse = (
            device.type == "cuda"
            and steps >= _FUSED_STEPS
            and (time_budget or math.inf) >= _FUSED_SECONDS
        )
        run = _Fit(model, views, preset, steps, lmbda, geometry, ranks, fuse)
        planned, done, spent = steps, 0, 0.0
        if state:
            planned, done, spent = state["planned"], state["done"], state["seconds"]
            run.resume(state)
        begun = reported = time.monotonic()
        saved = begun if state else -math.inf
        timed_at, timed_from = None, begun
        views.start(done)

        def report(bits: float, log_mse: float, per_step: float) -> None:
            if progress:
                psnr = float(10 * np.log10(255.0**2 / np.exp(log_mse)))
                left = (planned - done) * per_step
                progress(FitProgress(done, planned, bits / n_pixels, psnr, left))

        if done and ranks.rank == 0:
            report(*run.figures.tolist(), spent / done)
        while True:
            stop = done >= planned or should_stop()
            due = save is not None and (stop or time.monotonic() - saved >= save_seconds)
            planned, stop, due = (int(x) for x in ranks.follow(planned, stop, due))
            run.total.fill_(float(planned))
            if due:
                random = ranks.gather(_random_state(device))
                if ranks.rank == 0:
                    save({
                        "planned": planned, "done": done, "random": random,
                        "seconds": spent + time.monotonic() - begun,
                        "tensors": [t.cpu() for t in run.state()],
                    })  # fmt: skip
                saved = time.monotonic()
            if stop:
                break
            run.advance(run.phase(done / planned))
            done += 1
            # Asking a GPU for figures waits for it; a CPU's slow steps are reported as they come.
            slow = device.type == "cpu" and time.monotonic() - reported > _REPORT_SECONDS
            if ranks.rank or (done % _LOG_EVERY and done not in (5, 10, planned) and not slow):
                continue
            figures = run.figures.tolist()
            now = reported = time.monotonic()
            if timed_at is None and done < planned:
                # The first steps capture graphs and warm caches: time starts behind them.
                timed_at, timed_from = done, now
                continue
            per_step = (now - timed_from) / max(1, done - (timed_at or 0))
            if time_budget is not None:
                # Hard rounding costs no more per step than noisy rounding: time extrapolates.
                left = (time_budget - spent - (now - begun)) / max(per_step, 1e-6)
                left -= 0 if run.coarsened else _COARSEN_STEPS
                planned = min(steps, done + max(0, int(left)))
            report(*figures, per_step)
    model.fuse(False)
    return done, done >= planned


def _random_state(device: torch.device) -> list[Tensor]:
    """State of the generators that a fit on the device draws from."""
    on_gpu = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *on_gpu]
