"""Three objectives that every rule must bring down: least squares, logistic regression, a small network on digits."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits

from search_space import Losses

Params = dict[str, jax.Array]


class Data(NamedTuple):
    """Features (…, B, D), targets (…, B, K), and whether the cost is cross entropy (1) or squared error (0)."""

    x: jax.Array
    y: jax.Array
    classes: jax.Array


def model(p: Params, x: jax.Array) -> jax.Array:
    """A linear model, or a network where there is a hidden layer."""
    return (jnp.tanh(x @ p["v"] + p["c"]) if "v" in p else x) @ p["w"] + p["b"]


def cost(out: jax.Array, data: Data) -> jax.Array:
    """One number for each example."""
    entropy = -jnp.sum(jax.nn.log_softmax(out) * data.y, axis=-1)
    return jnp.where(data.classes, entropy, jnp.sum((out - data.y) ** 2, axis=-1))


def losses(data: Data) -> Losses:
    """Everything that a rule may ask of a task."""

    def drawn(p: Params, key: jax.Array) -> Data:
        out = jax.lax.stop_gradient(model(p, data.x))
        labels = jax.nn.one_hot(jax.random.categorical(key, out), out.shape[-1])
        return data._replace(y=jnp.where(data.classes, labels, out + jax.random.normal(key, out.shape)))

    return Losses(
        loss=lambda p: jnp.mean(cost(model(p, data.x), data)),
        sampled=lambda p, key: jnp.mean(cost(model(p, data.x), drawn(p, key))),
        examples=lambda p: cost(model(p, data.x), data),
        outputs=lambda p: model(p, data.x),
        output_loss=lambda out: jnp.mean(cost(out, data)),
    )


def _weights(seed: int, **shapes: tuple[int, ...]) -> Params:
    rng = np.random.default_rng(seed)
    return {k: jnp.asarray(rng.normal(size=s) / (s[0] ** 0.5 if len(s) > 1 else 10.0), jnp.float32) for k, s in shapes.items()}


@cache
def linear() -> tuple[Params, Data]:
    """Start weights and two data sets in one: least squares on random features, logistic regression on breast cancer."""
    rng, count = np.random.default_rng(0), 96
    cancer = load_breast_cancer()
    features = ((cancer.data - cancer.data.mean(0)) / cancer.data.std(0))[:count]
    x = rng.normal(size=(count, 30)) * np.geomspace(1.0, 0.3, 30)
    y = x @ rng.normal(size=(30, 2)) + rng.normal(size=2)
    stacked = np.stack([x, features]), np.stack([y, np.eye(2)[cancer.target[:count]]]), np.asarray([False, True])
    return _weights(1, w=(30, 2), b=(2,)), Data(*map(_float, stacked[:2]), jnp.asarray(stacked[2]))


@cache
def network() -> tuple[Params, Data]:
    """Start weights and data of the network, with a leading axis of 1."""
    digits = load_digits()
    x, y = digits.data[:96] / 16.0, np.eye(10)[digits.target[:96]]
    return _weights(3, v=(64, 12), c=(12,), w=(12, 10), b=(10,)), Data(_float(x[None]), _float(y[None]), jnp.asarray([True]))


def _float(x: Any) -> jax.Array:
    return jnp.asarray(x, jnp.float32)
