"""Test functions of few dimensions: Rosenbrock, and the BBOB suite through evosax."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree, Split, Task, TensorMeta
from tasks.streams import derive, normal, uniform

SMOOTH = (
    "sphere", "ellipsoidal", "rosenbrock", "attractive_sector", "bent_cigar", "discus", "different_powers", "sharp_ridge",
    "rastrigin", "griewank_rosenbrock", "schaffers_f7", "schwefel",
)  # fmt: skip
"""Functions of the suite that have a gradient almost everywhere, by number."""


def _meta(size: int) -> PyTree:
    return {"x": TensorMeta("vector", 1, size)}


@dataclass(frozen=True)
class Rosenbrock:
    """Σ 100 (x_{i+1} − x_i²)² + (1 − x_i)², divided by 100, with gradient noise of deviation `noise`."""

    size: int = 8
    noise: float = 0.1
    vary: float = 1.0  # 0: start at −1 everywhere; 1: anywhere in ±2
    name: str = "rosenbrock"

    def sample(self, key: jax.Array) -> PyTree:
        return {"start": -1.0 + 2.0 * self.vary * (uniform(key, (self.size,)) - 0.25)}

    def task(self, config: PyTree) -> Task:
        def batch(key: jax.Array, split: Split) -> jax.Array:
            return self.noise * normal(key, (self.size,)) if split == "train" else jnp.zeros(self.size)

        def loss(params: PyTree, batch: jax.Array, key: jax.Array) -> jax.Array:
            del key
            x = params["x"]
            valley = jnp.sum((x[1:] - x[:-1] ** 2) ** 2 + 0.01 * (1.0 - x[:-1]) ** 2)
            return valley + jnp.sum(batch * (x - 1.0))

        def init(key: jax.Array) -> PyTree:
            return {"x": config["start"] + 0.1 * normal(key, (self.size,))}

        return Task(self.name, init, batch, loss, _meta(self.size), optimum=0.0, metric="function value / 100")


@dataclass(frozen=True)
class Bbob:
    """A function of the BBOB suite (Hansen et al. 2009; evosax), its value compressed by log(1 + ·) so that scales are alike.

    `function` numbers `SMOOTH`. A configuration draws the optimum and the rotations.
    """

    function: int = 0
    size: int = 8
    noise: float = 0.01
    vary: float = 1.0  # 0: no rotation

    @property
    def name(self) -> str:
        return "bbob"

    def sample(self, key: jax.Array) -> PyTree:
        def rotation(number: int) -> jax.Array:
            return jnp.linalg.qr(normal(derive(key, number), (self.size, self.size)))[0] if self.vary else jnp.eye(self.size)

        return {"optimum": 4.0 * (2.0 * uniform(derive(key, 0), (self.size,)) - 1.0), "r": rotation(1), "q": rotation(2)}

    def task(self, config: PyTree) -> Task:
        from evosax.problems.bbob import bbob_fns

        function = getattr(bbob_fns, SMOOTH[self.function])

        def batch(key: jax.Array, split: Split) -> jax.Array:
            return self.noise * normal(key, (self.size,)) if split == "train" else jnp.zeros(self.size)

        def loss(params: PyTree, batch: jax.Array, key: jax.Array) -> jax.Array:
            del key
            value, penalty = function(params["x"], config["optimum"], config["r"], config["q"], self.size)
            return jnp.log1p(jnp.maximum(value + penalty, 0.0)) + jnp.sum(batch * params["x"])

        def init(key: jax.Array) -> PyTree:
            return {"x": 4.0 * (2.0 * uniform(key, (self.size,)) - 1.0)}

        return Task(self.name, init, batch, loss, _meta(self.size), metric="log(1 + function value)")
