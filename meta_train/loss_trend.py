"""The course of the loss as nine numbers, from running means over ten horizons (the per-run input of VeLO, arXiv 2211.09760)."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

HORIZONS = 10
FEATURES = HORIZONS - 1
USUAL_STEPS = 1000.0  # longest horizon where none is given


class LossTrend(NamedTuple):
    """Losses seen (int32[]), running means (f32[10], short to long) and the lowest value of each so far, both corrected for their start."""

    count: Any  # pyright: ignore[reportIncompatibleMethodOverride]
    means: jax.Array
    lowest: jax.Array


def start_trend() -> LossTrend:
    """Nothing seen yet."""
    return LossTrend(jnp.zeros((), jnp.int32), jnp.zeros(HORIZONS), jnp.full(HORIZONS, 1e12, jnp.float32))


def observe(trend: LossTrend, loss: jax.Array, num_steps: Any) -> LossTrend:
    """With one more loss, which counts as at most twice the highest running mean."""
    decays = _decays(num_steps)
    highest = jnp.where(trend.count == 0, loss, jnp.max(_corrected(trend, decays)))
    means = decays * trend.means + (1.0 - decays) * jnp.minimum(loss, 2.0 * jnp.abs(highest))
    grown = LossTrend(trend.count + 1, means, trend.lowest)
    return grown._replace(lowest=jnp.minimum(trend.lowest, _corrected(grown, decays)))


def trend_features(trend: LossTrend, num_steps: Any) -> jax.Array:
    """Where each running mean lies between its lowest value (−1) and the next longer mean (0): f32[9]; 0 for the first two losses."""
    means = _corrected(trend, _decays(num_steps))
    low = trend.lowest[:-1]
    place = jnp.clip((means[:-1] - low) / jnp.maximum(means[1:] - low, 1e-8) - 1.0, -1.0, 1.0)
    return jnp.where(trend.count <= 2, 0.0, place)


def _decays(num_steps: Any) -> jax.Array:
    longest = jnp.asarray(USUAL_STEPS if num_steps is None else num_steps, jnp.float32)
    halves = 10.0 ** (1.0 + jnp.linspace(0.0, 1.0, HORIZONS) * (jnp.log10(jnp.maximum(longest, 20.0)) - 1.0))
    return jnp.exp(-1.0 / halves)


def _corrected(trend: LossTrend, decays: jax.Array) -> jax.Array:
    return trend.means / (1.0 - decays ** jnp.maximum(trend.count, 1))
