"""A stream of handwritten digits in which classes come and go: training data that change with time."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import data, mlp, variation
from tasks.contracts import PyTree, Task
from tasks.streams import derive, uniform

BASE_WIDTH = 32
_PHASE = 1_000_003  # apart from the keys of steps, which are derived from the same key


@dataclass(frozen=True)
class DigitsStream:
    """A classifier of all 10 digits that sees only `classes` of them, drawn anew every `period` steps (SCoLe, arXiv:2207.04543).

    Held-out losses are on all digits, so that they measure what is kept as classes come again.
    """

    width: int = BASE_WIDTH
    depth: int = 1
    batch: int = 64
    classes: int = 2
    period: int = 5
    vary: float = 0.0  # see `variation.sample`
    name: str = "digits_stream"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 64, self.vary)

    def task(self, config: variation.Config) -> Task:
        sizes = (64, *[self.width] * self.depth, 10)
        images = data.digits()

        def stream(key: jax.Array, step: jax.Array | int) -> PyTree:
            phase = derive(derive(key, _PHASE), jnp.asarray(step, jnp.int32) // self.period)
            rank = jnp.argsort(jnp.argsort(uniform(phase, (images.classes,))))
            return variation.minibatch_of(images, config, derive(key, step), rank < self.classes, self.batch)

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            return variation.cross_entropy(mlp.apply(params, batch["x"], jax.nn.relu), batch["y"])

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(images, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, self.width, BASE_WIDTH),
            metric="cross-entropy on all classes, nats",
            stream=stream,
        )
