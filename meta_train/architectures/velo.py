"""In the shape of VeLO (arXiv 2211.09760): an LSTM for each tensor mixes the weights of tiny networks for its parameters.

Loss and horizon are inputs where they are known, and 0 where not. Sizes are parameters; the paper's are 512 and 256.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import jax
import jax.numpy as jnp

from meta_train.architectures.celo2 import FEATURES, ORDER
from meta_train.assembly import Architecture, Core, Moment
from meta_train.contracts import PyTree
from meta_train.features import (
    FACTORED_DECAYS,
    MOMENTUM_DECAYS,
    SECOND_DECAYS,
    Accumulators,
    accumulate,
    normalised,
    start,
)
from meta_train.loss_trend import FEATURES as TREND
from meta_train.loss_trend import observe, start_trend, trend_features
from meta_train.lstm import init_linear, init_lstm, linear, lstm_start, lstm_step
from meta_train.network import apply_mlp, init_mlp

FRACTIONS = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)  # of the horizon
RANKS = 5
TENSOR_FEATURES = len(FRACTIONS) + TREND + 7 + RANKS
GRADIENT_BOUND = 1000.0
MAGNITUDE = STEP = 1e-3


@dataclass(frozen=True)
class VeLO(Architecture):
    """`hidden` units of the tensors' LSTM, `bases` networks of 30-`units`-`units`-3 to mix."""

    base: ClassVar[str] = "velo"
    hidden: int = 32
    bases: int = 16
    units: int = 4

    def init(self, key: jax.Array) -> PyTree:
        """Random weights; the mixture starts near the mean of all bases with factors of order 1."""
        keys = jax.random.split(key, 6)
        sizes = (FEATURES, self.units, self.units, 3)
        return {
            "own": init_linear(keys[0], TENSOR_FEATURES, self.hidden),
            "others": init_linear(keys[1], TENSOR_FEATURES, self.hidden),
            "lstm": init_lstm(keys[2], self.hidden, self.hidden, 1),
            "mixture": init_linear(keys[3], self.hidden, self.bases),
            "size": init_linear(keys[4], self.hidden, 1) | {"b": jnp.ones(1)},
            "bases": jax.vmap(lambda k: init_mlp(k, sizes))(jax.random.split(keys[5], self.bases)),
        }

    def core(self) -> Core:
        return _Core(self.hidden)


@dataclass(frozen=True)
class _Core:
    """Tensors are seen together by the LSTM, then stepped one by one."""

    hidden: int

    def start(self, params: Sequence[jax.Array]) -> tuple[list[PyTree], PyTree]:
        return [(start(p), lstm_start((), self.hidden, 1)) for p in params], start_trend()

    def step(
        self, theta: PyTree, grads: list[jax.Array], params: list[jax.Array], states: list[PyTree], shared: PyTree, moment: Moment
    ) -> tuple[list[jax.Array], list[PyTree], PyTree]:
        if not params:
            return [], [], shared
        trend = shared if moment.loss is None else observe(shared, moment.loss, moment.num_steps)
        decays = [jnp.asarray(d, jnp.float32) for d in (MOMENTUM_DECAYS, SECOND_DECAYS, FACTORED_DECAYS)]
        grads = [jnp.clip(g, -GRADIENT_BOUND, GRADIENT_BOUND) for g in grads]
        kept = [accumulate(g, s, *decays) for g, (s, _) in zip(grads, states, strict=True)]
        common = jnp.concatenate([_fraction(moment), trend_features(trend, moment.num_steps)])
        seen = jnp.stack([jnp.concatenate([common, _tensor_features(p, s)]) for p, s in zip(params, kept, strict=True)])
        mixed = linear(theta["own"], seen) + jnp.max(jax.nn.relu(linear(theta["others"], seen)), 0)
        cells = jax.tree.map(lambda *x: jnp.stack(x), *[c for _, c in states])
        output, cells = lstm_step(theta["lstm"], mixed, cells)
        mixture, sizes = linear(theta["mixture"], output), linear(theta["size"], output)[:, 0]
        directions = [_direction(theta["bases"], *x) for x in zip(mixture, sizes, grads, params, kept, strict=True)]
        return directions, [(s, jax.tree.map(lambda c, k=k: c[k], cells)) for k, s in enumerate(kept)], trend


def _direction(bases: PyTree, mixture: jax.Array, size: jax.Array, g: jax.Array, p: jax.Array, state: Accumulators) -> jax.Array:
    """One tensor's step: RMS(p) · size · d · exp(m / 1000) / 1000 by a network of mixed weights."""
    network = jax.tree.map(lambda x: jnp.tensordot(1.0 + mixture, x, 1) / mixture.size**0.5, bases)
    direction, magnitude, _ = apply_mlp(network, *normalised(g, p, state, ORDER, 1e-5))
    return size * jnp.sqrt(jnp.mean(p * p) + 1e-9) * direction * jnp.exp(MAGNITUDE * magnitude) * STEP


def _fraction(moment: Moment) -> jax.Array:
    """How much of the horizon has passed, as soft steps: f32[9], 0 without a horizon."""
    if moment.num_steps is None:
        return jnp.zeros(len(FRACTIONS))
    passed = moment.count.astype(jnp.float32) / jnp.asarray(moment.num_steps, jnp.float32)
    return jnp.tanh(10.0 * (passed - jnp.asarray(FRACTIONS)))


def _tensor_features(p: jax.Array, state: Accumulators) -> jax.Array:
    """Logarithms of the moments' means and variances relative to the weights' size, and the number of axes: f32[7 + 5]."""
    relative = jax.lax.rsqrt(jnp.maximum(jnp.mean(p * p), 1e-9))
    second = state.second * relative
    variances = [jnp.var(m * relative) for m in state.momenta]
    spreads = [jnp.mean((second - jnp.mean(m) * relative) ** 2) for m in state.momenta]
    numbers = jnp.stack([*variances, jnp.mean(second), *spreads])
    rank = min(sum(n > 1 for n in p.shape), RANKS - 1)
    return jnp.concatenate([0.5 * jnp.clip(jnp.log(1e-8 + jnp.abs(10.0 * numbers)), -5.0, 5.0), jax.nn.one_hot(rank, RANKS)])
