"""Learnable SGD: a learning rate for matrices and one for everything smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree


@dataclass(frozen=True)
class LearnableSGD(Architecture):
    """The step is exp(theta["log_rate"][k]) · g, with k = 1 for tensors of two axes or more and 0 otherwise."""

    base: ClassVar[str] = "sgd"

    def init(self, key: jax.Array) -> PyTree:
        """Both rates start at 0.01."""
        del key
        return {"log_rate": jnp.full(2, jnp.log(0.01), jnp.float32)}

    def core(self) -> Core:
        return PerTensor(lambda p: (), _step)


def _step(theta: PyTree, g: jax.Array, p: jax.Array, state: PyTree, moment: Moment) -> tuple[jax.Array, PyTree]:
    del p, moment
    return jnp.exp(theta["log_rate"][group(g)]) * g, state


def group(x: jax.Array) -> int:
    """Which of a pair of meta-parameters serves a tensor: 1 for two axes or more, 0 for vectors and scalars."""
    return int(x.ndim >= 2)
