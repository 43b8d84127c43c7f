"""The network on 39 features for each parameter of Metz et al. (arXiv 2203.11860), in the size of its authors and that of μLO.

Numerically it is their AdafacMLPLOpt at learning rate 1; computed here without the array of all features (see `network`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.features import (
    FACTORED_DECAYS,
    MOMENTUM_DECAYS,
    SECOND_DECAYS,
    Accumulators,
    accumulate,
    normalised,
    one_minus,
    start,
)
from meta_train.network import apply_mlp, init_mlp

ORDER = (
    "g", "p", "m", "v", "m_over_root", "inverse_root", "factored_g", "rows", "cols", "inverse_rows", "inverse_cols", "factored_m"
)  # fmt: skip
TIMES = (1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000)
FEATURES = 28 + len(TIMES)
MAGNITUDE = 1e-3  # factor within the exponential


@dataclass(frozen=True)
class SmallFC(Architecture):
    """step = `step` · d · exp(m / 1000) with (d, m) from a 39-`hidden`-`hidden`-2 ReLU network. Decays are meta-parameters, too."""

    base: ClassVar[str] = "small_fc"
    hidden: int = 4
    step: float = 1e-3

    def init(self, key: jax.Array) -> PyTree:
        """Random network; offsets of log(1 − decay) / 10 at 0."""
        return {
            "momentum_decays": jnp.zeros(3),
            "second_decays": jnp.zeros(1),
            "factored_decays": jnp.zeros(3),
            "network": init_mlp(key, (FEATURES, self.hidden, self.hidden, 2)),
        }

    def core(self) -> Core:
        return PerTensor(start, self._step)

    def _step(self, theta: PyTree, g: jax.Array, p: jax.Array, state: Accumulators, moment: Moment) -> tuple[jax.Array, Accumulators]:
        decays = (MOMENTUM_DECAYS, SECOND_DECAYS, FACTORED_DECAYS)
        names = ("momentum_decays", "second_decays", "factored_decays")
        state = accumulate(g, state, *(_decays(d, theta[n]) for d, n in zip(decays, names, strict=True)))
        features, scales = normalised(g, p, state, ORDER, 1e-5)
        time = jnp.tanh(moment.count.astype(jnp.float32) / jnp.asarray(TIMES, jnp.float32) - 1.0)
        times = [x.reshape((1,) * p.ndim) for x in time]
        direction, magnitude = apply_mlp(theta["network"], [*features, *times], jnp.concatenate([scales, jnp.ones(len(TIMES))]))
        return self.step * direction * jnp.exp(MAGNITUDE * magnitude), state


def _decays(initial: tuple[float, ...], offset: jax.Array) -> jax.Array:
    """1 − exp(log(1 − initial) + 10 · offset)."""
    return 1.0 - jnp.exp(one_minus(initial) + 10.0 * offset)
