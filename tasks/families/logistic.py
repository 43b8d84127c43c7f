"""Logistic regression on real measurements."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp

from tasks import data, mlp, variation
from tasks.contracts import PyTree, Task


@dataclass(frozen=True)
class BreastCancer:
    """30 measurements of a tumour - malignant or benign; a convex problem, cross-entropy in nats."""

    batch: int = 32
    vary: float = 0.0  # see `variation.sample`
    name: str = "breast_cancer"

    def sample(self, key: jax.Array) -> variation.Config:
        return variation.sample(key, 30, self.vary)

    def task(self, config: variation.Config) -> Task:
        sizes = (30, 1)
        patients = data.breast_cancer()

        def loss(params: PyTree, batch: PyTree, key: jax.Array) -> jax.Array:
            del key
            logits = mlp.apply(params, batch["x"], jnp.tanh)[:, 0]
            return jnp.mean(jax.nn.softplus(logits) - batch["y"] * logits)

        return Task(
            name=self.name,
            init=lambda key: mlp.init(key, sizes, config["init_scale"]),
            batch=lambda key, split: variation.minibatch(patients, config, key, split, self.batch),
            loss=loss,
            metadata=mlp.metadata(sizes, 1, 1),
            metric="cross-entropy, nats",
        )
