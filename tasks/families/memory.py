"""A recurrent network that must keep numbers over many steps: gradients that shrink and burst."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import variation
from tasks.contracts import PyTree, Split, Task
from tasks.nets import recurrent
from tasks.nets.blocks import affine, dense, dense_meta, keys
from tasks.streams import derive, uniform

BASE_WIDTH = 32


@dataclass(frozen=True)
class Adding:
    """The adding problem (Hochreiter & Schmidhuber 1997): of L random numbers, add the two that are marked; mean squared error.

    Answering 1 always gives 1/6.
    """

    width: int = BASE_WIDTH
    length: int = 24
    batch: int = 32
    vary: float = 0.0  # 1: log-normal scale of the initial weights, deviation 0.3
    name: str = "adding_rnn"

    def sample(self, key: jax.Array) -> PyTree:
        return variation.init_scale(derive(key, 0), self.vary, 0.3)

    def task(self, config: PyTree) -> Task:
        mult = self.width / BASE_WIDTH

        def init(key: jax.Array) -> PyTree:
            k = keys(key, ("cell", "head"))
            return {"cell": recurrent.plain_init(k["cell"], 2, self.width, config["init_scale"]), "head": dense(k["head"], self.width, 1)}

        def batch(key: jax.Array, split: Split) -> PyTree:
            key = variation.split_key(key, split)
            count, half = self.batch if split == "train" else 512, self.length // 2
            numbers = uniform(derive(key, 0), (count, self.length))
            first = (uniform(derive(key, 1), (count,)) * half).astype(jnp.int32)
            second = half + (uniform(derive(key, 2), (count,)) * (self.length - half)).astype(jnp.int32)
            places = jnp.arange(self.length)[None, :]
            marks = ((places == first[:, None]) | (places == second[:, None])).astype(jnp.float32)
            return {"x": jnp.stack([numbers, marks], axis=-1), "y": jnp.sum(numbers * marks, axis=1)}

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            state = recurrent.plain(params["cell"], batch["x"])
            return jnp.mean((affine(params["head"], state)[:, 0] - batch["y"]) ** 2)

        meta = {"cell": recurrent.plain_meta(2, self.width, mult), "head": dense_meta("output", self.width, 1, mult)}
        return Task(self.name, init, batch, loss, meta, optimum=0.0, metric="mean squared error")
