"""In the shape of Celo2 (arXiv 2602.19142): a 30-8-8-3 network without time features, steps of fixed root mean square, AdamW for vectors.

Written from the paper's description; its orthogonalised variant is not here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from meta_train.architectures.adam import AdamSlots
from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.features import (
    FACTORED_DECAYS,
    MOMENTUM_DECAYS,
    SECOND_DECAYS,
    Accumulators,
    Epsilons,
    accumulate,
    normalised,
    start,
)
from meta_train.network import apply_mlp, init_mlp

ORDER = (
    "g", "clipped_g", "p", "m", "v", "m_over_root", "inverse_root", "factored_g", "g_over_root", "rows", "cols",
    "inverse_rows", "inverse_cols", "factored_m",
)  # fmt: skip
FEATURES = 30
EPSILONS = Epsilons(1e-8, 1e-8, 1e-8)
NORMALISER = 1e-9


@dataclass(frozen=True)
class Celo2(Architecture):
    """Matrices: `hidden` units in two layers, three outputs of which the first is the direction. Vectors: Adam at `vector_rate` times."""

    base: ClassVar[str] = "celo2"
    rate: ClassVar[float] = 1e-3
    hidden: int = 8
    vector_rate: float = 20.0

    def init(self, key: jax.Array) -> PyTree:
        """Random network; nothing else is learned."""
        return {"network": init_mlp(key, (FEATURES, self.hidden, self.hidden, 3))}

    def core(self) -> Core:
        return PerTensor(_start, self._step)

    def _step(self, theta: PyTree, g: jax.Array, p: jax.Array, state: PyTree, moment: Moment) -> tuple[jax.Array, PyTree]:
        if isinstance(state, AdamSlots):
            direction, slots = _adam(g, state, moment.count)
            return self.vector_rate * direction, slots
        state = accumulate(g, state, *(jnp.asarray(d, jnp.float32) for d in (MOMENTUM_DECAYS, SECOND_DECAYS, FACTORED_DECAYS)))
        features, scales = normalised(g, p, state, ORDER, NORMALISER, EPSILONS)
        direction = apply_mlp(theta["network"], features, scales)[0]
        return direction * jax.lax.rsqrt(NORMALISER + jnp.mean(direction * direction)), state


def _start(p: jax.Array) -> Accumulators | AdamSlots:
    return start(p) if p.ndim >= 2 else AdamSlots(jnp.zeros(p.shape, jnp.float32), jnp.zeros(p.shape, jnp.float32))


def _adam(g: jax.Array, slots: AdamSlots, count: jax.Array) -> tuple[jax.Array, AdamSlots]:
    """Adam of 0.9, 0.95 and 1e-8, the decays that are usual beside matrix optimizers."""
    t = (count + 1).astype(jnp.float32)
    m, v = slots.m + 0.1 * (g - slots.m), slots.v + 0.05 * (g * g - slots.v)
    return (m / (1.0 - 0.9**t)) / (jnp.sqrt(v / (1.0 - 0.95**t)) + 1e-8), AdamSlots(m, v)
