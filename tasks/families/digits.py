"""Multilayer perceptrons that classify handwritten digits."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import data, mlp, variation
from tasks.contracts import PyTree, Split, Task
from tasks.streams import derive

BASE_WIDTH = 32


@dataclass(frozen=True)
class DigitsMLP:
    """64 pixels - `depth` hidden layers of `width` - 10 classes; real images, cross-entropy in nats."""

    width: int = BASE_WIDTH
    depth: int = 1
    batch: int = 64
    tanh: int = 0  # 1: tanh, 0: relu
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_mlp"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        sizes = (64, *[self.width] * self.depth, 10)
        images = data.digits()
        activation = mlp.ACTIVATIONS[self.tanh]

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], activation), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(images, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="cross-entropy, nats",
        )


@dataclass(frozen=True)
class MicroMLP:
    """8 pooled pixels - 16 - 4 groups of digits: 212 parameters, the job of micro benchmarks.

    A configuration assigns the 10 digits to 4 groups: digit modulo 4, or at random where `vary` is above 0.
    """

    batch: int = 16
    tanh: int = 0  # 1: tanh, 0: relu
    vary: float = 0.0  # see `variation.sample`
    name: str = "micro_mlp"

    def sample(self, key: jax.Array) -> variation.Config:
        groups = jnp.arange(10, dtype=jnp.int32) % 4
        if self.vary > 0:
            groups = jax.random.permutation(derive(key, 3), groups)
        return variation.sample(key, 8, self.vary) | {"groups": groups}

    def task(self, config: variation.Config) -> Task:
        sizes = (8, 16, 4)
        images = data.pooled_digits()
        activation = mlp.ACTIVATIONS[self.tanh]

        def batch(key: jax.Array, split: Split) -> PyTree:
            drawn = variation.minibatch(images, config, key, split, self.batch)
            return drawn | {"y": config["groups"][drawn["y"]]}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], activation), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=batch,
            loss=loss,
            metadata=mlp.metadata(sizes, 16, 16),
            metric="cross-entropy, nats",
        )
