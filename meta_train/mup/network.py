"""The network of the coordinate check: a multilayer perceptron on digits that shows its pre-activations.

Families of tasks only give losses, and the check is about what happens inside. Letters: n width, N images, C = 10 classes.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from search_space.training import Losses
from tasks import data, streams
from tasks.contracts import TensorMeta

LAYERS = ("input", "hidden", "output")
PIXELS, CLASSES, BATCH = 64, 10, 64


def init(key: jax.Array, width: int) -> Any:
    """Weights of standard deviation 1/√fan_in, biases 0: {layer: {"w": f32[in, out], "b": f32[out]}}."""
    sizes = (PIXELS, width, width, CLASSES)

    def layer(i: int) -> Any:
        shape = sizes[i : i + 2]
        return {"w": streams.normal(streams.derive(key, i), shape) / shape[0] ** 0.5, "b": jnp.zeros(shape[1])}

    return {name: layer(i) for i, name in enumerate(LAYERS)}


def metadata(width: int, base: int) -> Any:
    """A `TensorMeta` for each tensor."""
    m = width / base
    fans = {"input": (PIXELS, width), "hidden": (width, width), "output": (width, CLASSES)}
    return {
        name: {"w": TensorMeta(name, *fans[name], m), "b": TensorMeta("vector", 1, fans[name][1], 1.0 if name == "output" else m)}
        for name in LAYERS
    }


def pre_activations(params: Any, x: jax.Array) -> list[jax.Array]:
    """What each layer gives before its nonlinearity: f32[N, n], f32[N, n], f32[N, C]."""
    values = []
    for name in LAYERS:
        x = x @ params[name]["w"] + params[name]["b"]
        values.append(x)
        x = jnp.tanh(x)
    return values


def images(key: jax.Array, steps: int) -> tuple[jax.Array, jax.Array]:
    """Minibatches of training images and labels: f32[steps, BATCH, 64], i32[steps, BATCH]."""
    part = data.digits().train
    index = streams.draw(key, steps * BATCH, part.size).reshape(steps, BATCH)
    return jnp.asarray(part.x)[index], jnp.asarray(part.y)[index]


def losses() -> Losses:
    """Cross-entropy in nats, with everything that a rule may ask for; functions of (params, x, y)."""

    def outputs(params: Any, x: jax.Array, y: jax.Array) -> jax.Array:
        del y
        return pre_activations(params, x)[-1]

    def output_loss(logits: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        del x
        return jnp.mean(_examples(logits, y))

    def sampled(params: Any, x: jax.Array, y: jax.Array, key: jax.Array) -> jax.Array:
        logits = outputs(params, x, y)
        drawn = jax.random.categorical(key, jax.lax.stop_gradient(logits))
        return jnp.mean(_examples(logits, drawn))

    return Losses(
        loss=lambda params, x, y: output_loss(outputs(params, x, y), x, y),
        sampled=sampled,
        examples=lambda params, x, y: _examples(outputs(params, x, y), y),
        outputs=outputs,
        output_loss=output_loss,
    )


def _examples(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """f32[N]."""
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], axis=1)[:, 0]
