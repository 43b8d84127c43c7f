"""The coordinate check: how far training moves each layer's pre-activations, at several widths.

Tensor Programs V (arXiv:2203.03466, appendix D.1). Under muP the movement is the same at all widths (slope 0 of log movement against log
width); under the standard parametrisation it grows. Letters: W widths, S steps, L layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.mup import network
from meta_train.mup.subjects import Subject
from search_space.mup import apply_init, multipliers
from search_space.training import TrainingStep

WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096)


class CoordinateCheck(NamedTuple):
    """`movement` f64[W, S, L]: root mean square change of a layer's pre-activations since the start, after each step.

    It is the geometric mean of seeds. `loss` f64[W, S]: before each step, mean of seeds.
    """

    widths: tuple[int, ...]
    movement: np.ndarray
    loss: np.ndarray

    def slopes(self, step: int = -1) -> dict[str, float]:
        """Slope of log movement against log width for each layer after a step; NaN where something was not finite or did not move."""
        x = np.log(self.widths)
        return {name: slope(x, self.movement[:, step, i]) for i, name in enumerate(network.LAYERS)}


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """Least-squares slope of log y against x; NaN where y is not positive and finite."""
    if not (np.isfinite(y).all() and (y > 0).all()):
        return float("nan")
    return float(np.polyfit(x, np.log(y), 1)[0])


def coordinate_checks(
    subject: Subject,
    parametrisations: Sequence[str] = ("mup",),
    widths: Sequence[int] = WIDTHS,
    *,
    steps: int = 4,
    seeds: int = 2,
    base: int | None = None,
    decay_rule: str = "linear",
    zero_readout: bool = False,
    report: Callable[[int], None] = lambda width: None,
) -> dict[str, CoordinateCheck]:
    """Train networks of these widths on the same images, in each parametrisation; at `base`, the smallest width, all factors are 1.

    `report(width)` is called before each width.
    """
    base = min(widths) if base is None else base
    found: dict[str, list[Any]] = {p: [] for p in parametrisations}
    for width in widths:
        report(width)
        info = network.metadata(width, base)
        run = _compiled(subject, width, steps, seeds, zero_readout)
        for parametrisation, results in found.items():
            factors = jax.tree.map(jnp.float32, multipliers(info, parametrisation, decay_rule))
            results.append(jax.tree.map(np.asarray, run(factors)))
    return {p: _collected(widths, results) for p, results in found.items()}


def coordinate_check(subject: Subject, parametrisation: str = "mup", widths: Sequence[int] = WIDTHS, **settings: Any) -> CoordinateCheck:
    """`coordinate_checks` in one parametrisation."""
    return coordinate_checks(subject, (parametrisation,), widths, **settings)[parametrisation]


def _compiled(subject: Subject, width: int, steps: int, seeds: int, zero_readout: bool) -> Callable[[Any], Any]:
    """Factors → (movement f32[seeds, S, L], loss f32[seeds, S])."""

    def one(factors: Any, seed: jax.Array) -> Any:
        params = apply_init(network.init(jax.random.key(seed), width), network.metadata(width, width), factors, zero_readout=zero_readout)
        return _one(subject(factors), params, seed, steps)

    return jax.jit(lambda factors: jax.lax.map(partial(one, factors), jnp.arange(seeds)))


def _collected(widths: Sequence[int], results: Sequence[tuple[np.ndarray, np.ndarray]]) -> CoordinateCheck:
    movement = np.stack([m for m, _ in results]).astype(np.float64)
    with np.errstate(divide="ignore"):
        return CoordinateCheck(tuple(widths), np.exp(np.log(movement).mean(axis=1)), np.stack([loss for _, loss in results]).mean(axis=1))


def _one(training: TrainingStep, params: Any, seed: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """(movement f32[S, L], loss f32[S]) of one seed."""
    images, labels = network.images(jax.random.key(1000 + seed), steps)
    before = network.pre_activations(params, images[0])

    def one(carry: Any, batch: Any) -> Any:
        params, state, value = training.step(*carry, *batch)
        after = network.pre_activations(params, images[0])
        return (params, state), (jnp.stack([jnp.sqrt(jnp.mean((a - b) ** 2)) for a, b in zip(after, before, strict=True)]), value)

    return jax.lax.scan(one, (params, training.init(params)), (images, labels))[1]
