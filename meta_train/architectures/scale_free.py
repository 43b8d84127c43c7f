"""Our own: a small network on ratios, so that neither the gradient's scale nor the width of a layer shows in what it sees.

What it does differently from the published ones, and why:
every feature is a ratio, and every epsilon is relative to the tensor, so multiplying the gradients changes nothing;
two momenta and one second moment are kept (12 bytes for each parameter, 8 in bf16 mode), whose means over rows and columns are
taken when they are needed; averages are corrected for their start, so that no time features are needed;
a linear path from the features to the output makes a fresh theta an Adam with steps of fixed size, from where training improves;
the step has root mean square `learning rate · gain`, where the gain, between e⁻² and e², looks at the tensor's signal-to-noise ratios;
with `adaptive`, which ships, also times a rate that each tensor finds for itself, since no one rate suits all tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from meta_train.assembly import Architecture, Core, Moment, PerTensor
from meta_train.contracts import PyTree
from meta_train.features import factored, mean_over, mean_product, one_minus
from meta_train.network import apply_mlp, init_mlp

DECAYS = (0.9, 0.99, 0.99)  # fast and slow momentum, second moment
ELEMENTS, VECTORS, NUMBERS = 8, 2, 4
FEATURES = ELEMENTS + VECTORS + NUMBERS
FLOOR = 1e-8  # of a second moment, relative to the tensor's mean
SPEED, LIMIT, FIRST = 0.1, 3.0, -0.85  # of the logarithm of a tensor's own rate: largest change in a step, largest value; gain before it
MEMORY = 0.9  # decay of the means of the cosine between gradients and the momentum before them, and of its square
SMALLEST = 1e-37  # keeps 0 / 0 at 0; the smallest normal number is 1.2e-38


class Level(NamedTuple):
    """A tensor's own rate, as a logarithm, and means of the cosine that it follows and of its square: f32[] each."""

    log: jax.Array
    turn: jax.Array
    square: jax.Array


class ScaleFreeState(NamedTuple):
    """Fast momentum, slow momentum, second moment, in the parameter's shape; a `Level` if adaptive, else ()."""

    fast: jax.Array
    slow: jax.Array
    second: jax.Array
    level: Any


@dataclass(frozen=True)
class ScaleFree(Architecture):
    """A 14-`hidden`-`hidden`-1 network for each parameter and a linear gain for each tensor; `bf16` keeps momenta in bfloat16.

    `adaptive` gives each tensor a rate of its own, which starts low, grows while gradients agree with the momentum before them and shrinks
    while they turn. How much they do so is told by the mean of their cosine over the root of its mean square: noise makes cosines small,
    but takes from that ratio only as far as it hides their sign.
    """

    base: ClassVar[str] = "scale_free"
    rate: ClassVar[float] = 1e-2
    hidden: int = 8
    bf16: int = 0
    adaptive: int = 0

    def init(self, key: jax.Array) -> PyTree:
        """A network of small output around the ratio of fast momentum to root second moment; gain 1."""
        network = init_mlp(key, (FEATURES, self.hidden, self.hidden, 1))
        network["w2"] = 0.1 * network["w2"]
        network["skip"] = jnp.zeros(FEATURES).at[1].set(1.0)
        theta = {
            "log_1_minus_decays": jnp.asarray(one_minus(DECAYS)),
            "network": network,
            "gain": jnp.zeros(NUMBERS),
            "gain_bias": jnp.zeros(()),
        }
        if self.adaptive:
            drift = jnp.zeros(NUMBERS + 2).at[NUMBERS + 1].set(0.55)  # half of the largest speed where gradients always agree
            theta |= {"gain_bias": jnp.asarray(FIRST), "drift": drift, "drift_bias": jnp.zeros(())}
        return theta

    def core(self) -> Core:
        return PerTensor(self._start, _step)

    def _start(self, p: jax.Array) -> ScaleFreeState:
        dtype = jnp.bfloat16 if self.bf16 else jnp.float32
        level = Level(*[jnp.zeros(())] * 3) if self.adaptive else ()
        return ScaleFreeState(jnp.zeros(p.shape, dtype), jnp.zeros(p.shape, dtype), jnp.zeros(p.shape, jnp.float32), level)


class Statistics(NamedTuple):
    """Means over a tensor: of the second moment (all, by row, by column), of squares of weights, gradient and momenta, and of a product."""

    second: jax.Array
    row: jax.Array
    col: jax.Array
    weights: jax.Array
    gradient: jax.Array
    fast: jax.Array
    slow: jax.Array
    agreement: jax.Array


def _step(theta: PyTree, g: jax.Array, p: jax.Array, state: ScaleFreeState, moment: Moment) -> tuple[jax.Array, ScaleFreeState]:
    free = jnp.exp(jnp.minimum(theta["log_1_minus_decays"], 0.0))
    fast, slow, second = (
        s.astype(jnp.float32) + f * (x - s.astype(jnp.float32)) for s, f, x in zip(state[:3], free, (g, g, g * g), strict=True)
    )
    stats = _statistics(g, p, fast, slow, second)
    weights = -jnp.expm1((moment.count + 1).astype(jnp.float32) * jnp.log1p(-free))  # how much of the averages is there
    numbers = _numbers(stats, weights, g.ndim)
    features, scales = _features(g, p, fast, slow, second, stats, weights)
    scalars = [x.reshape((1,) * g.ndim) for x in numbers]
    (raw,) = apply_mlp(theta["network"], [*features, *scalars], jnp.concatenate([scales, jnp.ones(NUMBERS)]))
    raw = jnp.broadcast_to(raw, g.shape)
    gain = jnp.exp(2.0 * jnp.tanh(jnp.dot(numbers, theta["gain"]) + theta["gain_bias"]))
    level = state.level
    if "drift" in theta:
        level = _follow(theta, state.level, numbers, _turn(g, state.fast.astype(jnp.float32), stats))
        gain = gain * jnp.exp(level.log)
    size = jnp.where(stats.second > 0, gain * jax.lax.rsqrt(mean_product(raw, raw) + SMALLEST), 0.0)
    kept = [x.astype(s.dtype) for x, s in zip((fast, slow, second), state[:3], strict=True)]
    return size * raw, ScaleFreeState(kept[0], kept[1], kept[2], level)


def _statistics(g: jax.Array, p: jax.Array, fast: jax.Array, slow: jax.Array, second: jax.Array) -> Statistics:
    axes = factored(g.shape)
    row = mean_over(second, axes.cols) if axes else jnp.mean(second, keepdims=True)
    col = mean_over(second, axes.rows) if axes else jnp.mean(second, keepdims=True)
    return Statistics(
        jnp.mean(row),
        row,
        col,
        *(mean_product(x, y) for x, y in ((p, p), (g, g), (fast, fast), (slow, slow), (g, fast))),
    )


def _numbers(stats: Statistics, weights: jax.Array, ndim: int) -> jax.Array:
    """Signal-to-noise of both momenta, agreement of gradient and fast momentum, all within [-1, 1]; 1 for vectors: f32[4]."""
    return jnp.stack(
        [
            jnp.minimum(_ratio(stats.fast * weights[2], stats.second * weights[0] ** 2), 1.0),
            jnp.minimum(_ratio(stats.slow * weights[2], stats.second * weights[1] ** 2), 1.0),
            _ratio(stats.agreement, jnp.sqrt(stats.gradient) * jnp.sqrt(stats.fast)),
            jnp.asarray(float(ndim < 2), jnp.float32),
        ]
    )


def _follow(theta: PyTree, level: Level, numbers: jax.Array, turn: jax.Array) -> Level:
    """The level after one more cosine."""
    mean, square = (x + (1.0 - MEMORY) * (new - x) for x, new in ((level.turn, turn), (level.square, turn * turn)))
    seen = jnp.concatenate([numbers, jnp.stack([turn, mean * jax.lax.rsqrt(square + SMALLEST)])])
    change = SPEED * jnp.tanh(jnp.dot(seen, theta["drift"]) + theta["drift_bias"])
    return Level(jnp.clip(level.log + change, -LIMIT, LIMIT), mean, square)


def _turn(g: jax.Array, before: jax.Array, stats: Statistics) -> jax.Array:
    """Cosine between the gradient and the fast momentum before it: below 0 where steps overshoot, above where they fall short: f32[]."""
    return _ratio(mean_product(g, before), jnp.sqrt(stats.gradient) * jnp.sqrt(mean_product(before, before)))


def _ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """a / b, and 0 where b is 0."""
    return jnp.where(b > 0, a / jnp.where(b > 0, b, 1.0), 0.0)


def _features(
    g: jax.Array, p: jax.Array, fast: jax.Array, slow: jax.Array, second: jax.Array, stats: Statistics, weights: jax.Array
) -> tuple[list[jax.Array], jax.Array]:
    """The features that differ within a tensor, and what they are to be multiplied by (f32[10]).

    Gradient and momenta over root second moments, each parameter's own and the product of its row's and its column's; weights over
    their root mean square; second moments against their mean, as (v − mean) / (v + mean), which is tanh(½ log(v / mean)).
    """
    axes, mean = factored(g.shape), stats.second + SMALLEST
    own = jax.lax.rsqrt(second + (FLOOR * mean + SMALLEST))
    across = jnp.mean(stats.row, axis=axes.rows, keepdims=True) + SMALLEST if axes else stats.row + SMALLEST
    by_row = jax.lax.rsqrt(stats.row / across + FLOOR)
    by_col = jax.lax.rsqrt(stats.col + (FLOOR * mean + SMALLEST))
    root = jnp.sqrt(weights[2])
    debias = jnp.stack([root, root / weights[0], root / weights[1]])
    features = [x * own for x in (g, fast, slow)]
    features += [x * by_row * by_col for x in (g, fast, slow)]
    features += [p, *((x - mean) / (x + mean) for x in (second, stats.row, stats.col))]
    scale = jax.lax.rsqrt(stats.weights + SMALLEST)
    return features, jnp.concatenate([debias, debias, scale[None], jnp.ones(3)])
