"""The gradient and weight streams that a target is recorded on, designed so that its structure shows in the arrays.

Letters: R runs, E elements (all tensors of a run, flattened one after another), T steps.
Time is the last axis, because filters run along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PROBE_SHAPES: tuple[tuple[int, ...], ...] = ((), (6,), (4, 3))
HELD_OUT_SHAPES: tuple[tuple[int, ...], ...] = ((), (512,), (96, 64), (3, 3, 8, 16))
HELD_OUT_SCALES = (1e-3, 1e-2, 1e-1, 1.0, 30.0, 1e3)
PROBE_STEPS = 64
HELD_OUT_STEPS = 50
HELD_OUT_SEED = 20230213
"""The judge's data never depend on the seed of a search."""

SHIFT = 8
"""Steps of silence before the shifted probe run repeats the base run."""


@dataclass(frozen=True)
class Layout:
    """Where each tensor of a run lies among its E elements."""

    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Elements of each tensor."""
        return tuple(int(np.prod(shape, dtype=int)) for shape in self.shapes)

    @property
    def elements(self) -> int:
        """Elements of all tensors together."""
        return sum(self.sizes)

    def slices(self) -> tuple[slice, ...]:
        """The range of each tensor among the E elements."""
        ends = np.cumsum(self.sizes)
        return tuple(slice(int(end - size), int(end)) for end, size in zip(ends, self.sizes, strict=True))

    def split(self, flat: Array) -> list[Array]:
        """Tensors of one step from the flat elements, `flat: [E]`."""
        return [flat[part].reshape(shape) for part, shape in zip(self.slices(), self.shapes, strict=True)]


@dataclass(frozen=True)
class Streams:
    """Inputs of R independent runs, `g, w: [R, E, T]` in float32."""

    names: tuple[str, ...]
    layout: Layout
    g: Array
    w: Array

    def run(self, name: str) -> int:
        """Index of a run by its name."""
        return self.names.index(name)


def gradients(rng: np.random.Generator, elements: int, steps: int) -> Array:
    """Gradients of one run, `[E, T]`: elements cycle through noise, bias, sparsity, bursts, alternation, drift and late starts."""
    noise = rng.standard_normal((elements, steps))
    time = np.arange(steps)
    drift = np.zeros_like(noise)
    for step in range(1, steps):
        drift[:, step] = 0.9 * drift[:, step - 1] + 0.45 * noise[:, step]
    bursts = np.repeat(10.0 ** rng.uniform(-1.5, 1.0, (elements, -(-steps // 8))), 8, axis=1)[:, :steps]
    kinds = (
        noise,
        noise + 1.0,
        noise * (rng.random(noise.shape) < 0.3),
        noise * bursts,
        (np.abs(noise) + 0.3) * np.where(time % 2, -1.0, 1.0),
        drift + 0.05 * rng.standard_normal(noise.shape),
        noise * (time >= steps // 3),
    )
    kind = np.arange(elements) % len(kinds)
    picked = np.choose(kind[:, None], kinds)
    return picked * 10.0 ** rng.uniform(-0.5, 0.5, (elements, 1))


def weights(rng: np.random.Generator, elements: int, steps: int) -> Array:
    """Weights that wander over time, `[E, T]`."""
    walk = rng.standard_normal((elements, steps)).cumsum(axis=1) * 0.05
    return walk + rng.standard_normal((elements, 1))


def probe_streams(seed: int) -> Streams:
    """Related runs whose differences expose what a rule depends on: weights, scale, sign, neighbours, time and memory."""
    rng = np.random.default_rng((seed, 1))
    layout = Layout(PROBE_SHAPES)
    count, steps = layout.elements, PROBE_STEPS
    base, other = gradients(rng, count, steps), gradients(rng, count, steps)
    mixed = base.copy()
    mixed[::2] = other[::2]
    shifted = np.zeros_like(base)
    shifted[:, SHIFT:] = base[:, :-SHIFT]
    past = base.copy()
    past[:, : steps // 2] = other[:, : steps // 2]
    impulse = np.zeros_like(base)
    impulse[:, 3] = 10.0 ** rng.uniform(-1, 1, count) * rng.choice([-1.0, 1.0], count)
    quiet = np.zeros_like(base)
    runs = {
        "base": (base, quiet),
        "weights": (base, weights(rng, count, steps)),
        "large": (base * 1000.0, quiet),
        "small": (base / 1000.0, quiet),
        "tiny": (base / 100_000.0, quiet),
        "negative": (-base, quiet),
        "neighbours": (mixed, quiet),
        "shifted": (shifted, quiet),
        "past": (past, quiet),
        "impulse": (impulse, quiet),
        "other": (gradients(rng, count, steps), weights(rng, count, steps)),
        "loud": (gradients(rng, count, steps) * 30.0, weights(rng, count, steps)),
        "soft": (gradients(rng, count, steps) * 0.03, 3.0 * weights(rng, count, steps)),
    }
    return _stack(runs, layout)


def bulk_streams(seed: int) -> Streams:
    """Many elements of plain noise: what fixes the constants of a sign, which shows itself only near zero."""
    rng = np.random.default_rng((seed, 2))
    layout = Layout(((1200,), (40, 30)))
    runs = {"bulk": (gradients(rng, layout.elements, PROBE_STEPS), weights(rng, layout.elements, PROBE_STEPS))}
    return _stack(runs, layout)


def held_out_streams() -> Streams:
    """The judge's data: 2.3 million elements, four shapes, six scales of the gradient; the same for every search."""
    rng = np.random.default_rng(HELD_OUT_SEED)
    layout = Layout(HELD_OUT_SHAPES)
    runs = {}
    for scale in HELD_OUT_SCALES:
        g = gradients(rng, layout.elements, HELD_OUT_STEPS) * scale
        runs[f"scale {scale:g}"] = (g, weights(rng, layout.elements, HELD_OUT_STEPS))
    return _stack(runs, layout)


def _stack(runs: dict[str, tuple[Array, Array]], layout: Layout) -> Streams:
    g = np.stack([pair[0] for pair in runs.values()]).astype(np.float32)
    w = np.stack([pair[1] for pair in runs.values()]).astype(np.float32)
    return Streams(tuple(runs), layout, g, w)
