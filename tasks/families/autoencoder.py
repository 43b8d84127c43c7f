"""Autoencoders of handwritten digits: deeper and worse conditioned than the classifiers."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import data, mlp, variation
from tasks.contracts import PyTree, Task

BASE_WIDTH = 32


@dataclass(frozen=True)
class DigitsAutoencoder:
    """64 pixels - width - latent - width - 64 pixels; the latent layer is linear, mean squared error."""

    width: int = BASE_WIDTH
    latent: int = 8
    batch: int = 64
    tanh: int = 1  # 1: tanh, 0: relu
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_autoencoder"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        sizes = (64, self.width, self.latent, self.width, 64)
        images = data.digits()
        activation = mlp.ACTIVATIONS[self.tanh]

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            output = mlp.apply(params, batch["x"], activation, linear=(1,))
            return jnp.mean((output - batch["x"]) ** 2)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(images, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH, fixed=(2,)),
            metric="mean squared error, variances of a pixel",
        )
