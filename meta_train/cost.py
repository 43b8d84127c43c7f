"""What a learned optimizer costs its user: bytes of state and floating-point operations for each parameter."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from meta_train.contracts import LearnedOptimizer

SHAPE = (1024, 1024)


def bytes_per_param(optimizer: LearnedOptimizer, shape: tuple[int, ...] = SHAPE) -> float:
    """Bytes of state for each parameter of one tensor, by default a large matrix; nothing is allocated."""
    param = jax.ShapeDtypeStruct(shape, jnp.float32)
    theta = jax.eval_shape(optimizer.init, jax.random.key(0))
    state = jax.eval_shape(lambda theta, p: optimizer.transform(theta, learning_rate=1.0).init(p), theta, param)
    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(state)) / math.prod(shape)


def flops_per_param(optimizer: LearnedOptimizer, shape: tuple[int, ...] = SHAPE) -> float:
    """Operations of one update for each parameter, as XLA counts them before it optimises; nothing is compiled."""
    param = jax.ShapeDtypeStruct(shape, jnp.float32)
    theta = jax.eval_shape(optimizer.init, jax.random.key(0))

    def update(theta: object, g: jax.Array, p: jax.Array) -> object:
        tx = optimizer.transform(theta, learning_rate=1.0)
        return tx.update(g, tx.init(p), p)

    analysis = jax.jit(update).lower(theta, param, param).cost_analysis()
    assert analysis is not None
    return float(analysis["flops"]) / math.prod(shape)
