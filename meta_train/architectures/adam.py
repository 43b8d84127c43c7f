"""Learnable Adam: rate, both decays and epsilon, for matrices and for everything smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from meta_train.architectures.sgd import group
from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree


class AdamSlots(NamedTuple):
    """First and second moment, in the parameter's shape."""

    m: jax.Array
    v: jax.Array


@dataclass(frozen=True)
class LearnableAdam(Architecture):
    """Adam with bias correction (arXiv 1412.6980); theta holds log rate, log(1 − β₁), log(1 − β₂) and log ε, f32[2] each (`sgd.group`)."""

    base: ClassVar[str] = "adam"

    def init(self, key: jax.Array) -> PyTree:
        """Rate 1e-3, decays 0.9 and 0.999, epsilon 1e-8."""
        del key
        return self.matching(1e-3)

    def matching(self, rate: float, b1: float = 0.9, b2: float = 0.999, eps: float = 1e-8) -> PyTree:
        """The theta of one Adam for all tensors."""
        values = {"log_rate": rate, "log_1_minus_b1": 1 - b1, "log_1_minus_b2": 1 - b2, "log_eps": eps}
        return {k: jnp.full(2, jnp.log(x), jnp.float32) for k, x in values.items()}

    def core(self) -> Core:
        return PerTensor(_start, _step)


def _start(p: jax.Array) -> AdamSlots:
    return AdamSlots(jnp.zeros(p.shape, jnp.float32), jnp.zeros(p.shape, jnp.float32))


def _step(theta: PyTree, g: jax.Array, p: jax.Array, state: AdamSlots, moment: Moment) -> tuple[jax.Array, AdamSlots]:
    del p
    rate, free1, free2, eps = (jnp.exp(theta[k][group(g)]) for k in ("log_rate", "log_1_minus_b1", "log_1_minus_b2", "log_eps"))
    t = (moment.count + 1).astype(jnp.float32)
    m = state.m + free1 * (g - state.m)
    v = state.v + free2 * (g * g - state.v)
    seen1, seen2 = -jnp.expm1(t * jnp.log1p(-free1)), -jnp.expm1(t * jnp.log1p(-free2))
    return rate * (m / seen1) / (jnp.sqrt(v / seen2) + eps), AdamSlots(m, v)
