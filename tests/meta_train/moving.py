"""An inner problem whose meta-gradient is known in closed form.

The optimizer's only meta-parameter is its step: x ← rho · x + theta, from x = 0, with the loss |x - c|² / 2 after the step. After t steps
x = theta · s(t) with s(t) = 1 + rho + … + rho^(t-1), so that the loss is quadratic in theta and evolution strategies are unbiased
at any size of their noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.problem import Episode
from tasks.streams import derive, normal, uniform

TARGET = np.array([1.0, -0.5])
THETA = np.array([0.3, 0.1])


@dataclass(frozen=True)
class Moving:
    """`length` steps for every particle, or log-uniform from 1 to `limit` where it is 0. Odd particles break where `breaks` is set."""

    rho: float = 0.8
    length: int = 8
    breaks: bool = False
    noise: float = 0.0  # of a loss that does not depend on theta

    def episode(self, key: jax.Array, limit: jax.Array) -> Episode:
        drawn = jnp.round(jnp.exp(uniform(derive(key, 0)) * jnp.log(limit.astype(jnp.float32)))).astype(jnp.int32)
        return Episode(key, jnp.int32(self.length) if self.length else drawn, uniform(derive(key, 1)) < 0.5)

    def start(self, theta: Any, episode: Episode) -> jax.Array:
        return jnp.zeros(2)

    def step(self, theta: Any, episode: Episode, x: jax.Array, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = self.rho * x + theta["step"]
        loss = 0.5 * jnp.sum((x - jnp.asarray(TARGET, jnp.float32)) ** 2)
        if self.noise:
            loss = self.noise * normal(derive(episode.key, t))
        if self.breaks:
            x = jnp.where(episode.setting, jnp.nan, x)
            loss = jnp.where(episode.setting, jnp.nan, loss)
        return x, loss


def theta() -> dict[str, jax.Array]:
    return {"step": jnp.asarray(THETA, jnp.float32)}


def gradient(problem: Moving, steps: int, truncation: int | None = None, whole: int | None = None) -> np.ndarray:
    """Of the sum over `steps` steps of the losses, divided by `whole` (the steps if None), at THETA: f64[2].

    With a truncation, how theta reached each truncation's start is forgotten, as truncated estimators do.
    """
    total = np.zeros(2)
    for t in range(1, steps + 1):
        behind = t if truncation is None else (t - 1) % truncation + 1
        total += _sum(problem.rho, behind) * (THETA * _sum(problem.rho, t) - TARGET)
    return total / (steps if whole is None else whole)


def _sum(rho: float, count: int) -> float:
    return sum(rho**i for i in range(count))
