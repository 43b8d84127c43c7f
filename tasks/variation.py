"""How the tasks on real data of one family differ: initialisation, wrong labels, and the scales of the inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tasks.contracts import PyTree, Split
from tasks.data import Dataset
from tasks.streams import derive, draw, normal, uniform

Config = dict[str, jax.Array]


def sample(key: jax.Array, inputs: int, vary: float) -> Config:
    """Draw a configuration; `vary` 0 is the plain task, 1 the full range.

    init_scale f32[]: multiplies the initial weights, log-normal. label_noise f32[]: probability in [0, 0.2] that a training
    label is replaced. input_scale f32[inputs]: multiplies the inputs, log-normal, which worsens the conditioning.
    """
    return {
        "init_scale": jnp.exp(0.5 * vary * normal(derive(key, 0))),
        "label_noise": 0.2 * vary * uniform(derive(key, 1)),
        "input_scale": jnp.exp(0.5 * vary * normal(derive(key, 2), (inputs,))),
    }


def minibatch(data: Dataset, config: Config, key: jax.Array, split: Split, size: int) -> dict[str, jax.Array]:
    """Draw `size` training examples, or return a whole held-out part: x f32[N, D], y i32[N].

    Which training labels are wrong is fixed by the example, as in a badly labelled data set; held-out labels are right.
    """
    part = data.part(split)
    x, y = jnp.asarray(part.x), jnp.asarray(part.y)
    if split == "train":
        rows = draw(key, size, part.size)
        chance, wrong = _wrong_labels(part.size, data.classes)
        x, y = x[rows], jnp.where(chance[rows] < config["label_noise"], wrong[rows], y[rows])
    return {"x": x * config["input_scale"], "y": y}


def _wrong_labels(size: int, classes: int) -> tuple[jax.Array, jax.Array]:
    """For each example the label noise from which on it is mislabelled, f32[N], and its wrong label, i32[N]."""
    random = np.random.default_rng(1)
    chance = random.random(size, np.float32)
    return jnp.asarray(chance), jnp.asarray(random.integers(0, classes, size, np.int32))


def cross_entropy(logits: PyTree, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of logits f32[N, C] and labels i32[N]: f32[]."""
    # The largest logit is taken off before anything is added: at 1e9 the log of the number of classes would be lost in rounding, and a
    # search finds the rules that blow the weights up until the loss reads 0.
    shifted = logits - jnp.max(logits, axis=1, keepdims=True)
    chosen = jnp.take_along_axis(shifted, labels[:, None], axis=1)[:, 0]
    return jnp.mean(jnp.log(jnp.sum(jnp.exp(shifted), axis=1)) - chosen)
