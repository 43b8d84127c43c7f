"""Hyperparameters drawn from their priors, for tuning. Imports no jax."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from discover.space import draw_unit
from search_space.program import Hyper


def draw(hyper: Hyper, rng: Random) -> float:
    """A value from the prior: `unit` 1 - 10^-k, `scale` within two decades of the default, `number` within about a factor of two."""
    if hyper.prior == "unit":
        return draw_unit(rng)
    if hyper.prior == "number":
        return hyper.default * 2.0 ** rng.gauss(0.0, 1.0)
    return hyper.default * 10.0 ** rng.uniform(-2.0, 2.0) if hyper.default > 0 else 10.0 ** rng.uniform(-4.0, -1.0)


def variants(hypers: Sequence[Hyper], count: int, rng: Random, most: int = 2) -> list[dict[str, float]]:
    """`count` draws of the first `most` hyperparameters, in the order of their declaration; the others keep their defaults."""
    return [{hyper.name: draw(hyper, rng) for hyper in hypers[:most]} for _ in range(count)]
