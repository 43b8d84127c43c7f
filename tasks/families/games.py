"""Two players: bilinear and α-coherent games, where following the gradient of each is not descent on anything."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks.contracts import PyTree, Split, Task, TensorMeta
from tasks.streams import derive, normal


@dataclass(frozen=True)
class Game:
    """x minimises and y maximises α (½‖x‖² − ½‖y‖²) + xᵀ A y, with noise; the score is ½‖(x, y)‖², 0 at the equilibrium.

    The training "loss" is a surrogate whose gradient is (∇_x f, −∇_y f). α = 0 is the bilinear game: simultaneous gradient descent
    spirals out, optimistic and extragradient steps converge.
    """

    alpha: float = 0.0
    size: int = 8
    noise: float = 0.01
    vary: float = 1.0  # deviation of the log of A's singular values

    @property
    def name(self) -> str:
        return "bilinear_game" if self.alpha == 0 else "coherent_game"

    def sample(self, key: jax.Array) -> PyTree:
        left, right = (jnp.linalg.qr(normal(derive(key, i), (self.size, self.size)))[0] for i in range(2))
        return {"a": left * jnp.exp(0.5 * self.vary * normal(derive(key, 2), (self.size,))) @ right}

    def task(self, config: PyTree) -> Task:
        def value(x: jax.Array, y: jax.Array) -> jax.Array:
            return self.alpha * 0.5 * (jnp.sum(x * x) - jnp.sum(y * y)) + x @ config["a"] @ y

        def batch(key: jax.Array, split: Split) -> PyTree:
            train = split == "train"
            noise = self.noise * normal(key, (2, self.size)) if train else jnp.zeros((2, self.size))
            return {"noise": noise, "score": jnp.full((), 0.0 if train else 1.0)}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            x, y = params["x"], params["y"]
            stop = jax.lax.stop_gradient
            surrogate = value(x, stop(y)) - value(stop(x), y) + batch["noise"][0] @ x + batch["noise"][1] @ y
            score = 0.5 * (jnp.sum(x * x) + jnp.sum(y * y)) / self.size
            return jnp.where(batch["score"] > 0, score, surrogate)

        def init(key: jax.Array) -> PyTree:
            return {"x": normal(derive(key, 0), (self.size,)), "y": normal(derive(key, 1), (self.size,))}

        meta = {name: TensorMeta("vector", 1, self.size) for name in ("x", "y")}
        return Task(self.name, init, batch, loss, meta, optimum=0.0, metric="mean squared distance to the equilibrium")
