"""How the tasks on real data of one family differ: split, initialisation, wrong labels, and the scales of the inputs."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from tasks.contracts import PyTree, Split
from tasks.data import Dataset
from tasks.streams import derive, draw, normal, uniform

Config = dict[str, jax.Array]


def sample(key: jax.Array, inputs: int, vary: float) -> Config:
    """Draw a configuration; `vary` 0 is the plain task, 1 the full range. The split differs in any case.

    fold f32[]: where validation begins among the examples that are not for testing, as a share of them. init_scale f32[]:
    multiplies the initial weights, log-normal. label_noise f32[]: probability in [0, 0.2] that a training label is replaced.
    input_scale f32[inputs]: multiplies the inputs, log-normal, which worsens the conditioning.
    """
    return {
        "fold": uniform(derive(key, 4)),
        **init_scale(derive(key, 0), vary),
        "label_noise": 0.2 * vary * uniform(derive(key, 1)),
        "input_scale": jnp.exp(0.5 * vary * normal(derive(key, 2), (inputs,))),
    }


def init_scale(key: jax.Array, vary: float, deviation: float = 0.5) -> Config:
    """Draw init_scale f32[], which multiplies the initial weights: log-normal, of the given deviation at `vary` 1."""
    return {"init_scale": jnp.exp(deviation * vary * normal(key))}


def split_key(key: jax.Array, split: Split) -> jax.Array:
    """The key of a minibatch that is made up: the given one for training, a fixed one for each held-out split."""
    return key if split == "train" else derive(jax.random.key(7), 1 if split == "valid" else 2)


def minibatch(data: Dataset, config: Config, key: jax.Array, split: Split, size: int) -> dict[str, jax.Array]:
    """Draw `size` training examples, or return a whole held-out part: x f32[N, D], y i32[N].

    What is not for testing is a ring in random order; each configuration cuts its own validation part out of it, or a search would fit
    the oddities of one. Which training labels are wrong is fixed by the example, as in a badly labelled data set; held-out ones are right.
    """
    if split == "test":
        return {"x": _inputs(data, config, jnp.asarray(data.test.x)), "y": jnp.asarray(data.test.y)}
    ring, labels, count, first = _ring(data, config)
    if split == "valid":
        rows = _wrap(first + jnp.arange(data.valid.size), count)
        return {"x": _inputs(data, config, ring[rows]), "y": labels[rows]}
    return _examples(data, config, _wrap(first + data.valid.size + draw(key, size, data.train.size), count))


def minibatch_of(data: Dataset, config: Config, key: jax.Array, classes: jax.Array, size: int) -> dict[str, jax.Array]:
    """Draw `size` training examples whose true labels are among `classes`, bool[C], each with the same probability."""
    _, labels, count, first = _ring(data, config)
    place = (jnp.arange(count) - first) % count
    ends = jnp.cumsum((place >= data.valid.size) & classes[labels])  # how many are allowed up to each row
    return _examples(data, config, jnp.searchsorted(ends, uniform(key, (size,)) * ends[-1], side="right"))


def _ring(data: Dataset, config: Config) -> tuple[jax.Array, jax.Array, int, jax.Array]:
    """Inputs and labels that are not for testing, how many there are, and where this configuration's validation part begins."""
    ring, labels = (jnp.asarray(np.concatenate(pair)) for pair in ((data.valid.x, data.train.x), (data.valid.y, data.train.y)))
    count = data.valid.size + data.train.size
    return ring, labels, count, (config["fold"] * count).astype(jnp.int32)


def _examples(data: Dataset, config: Config, rows: jax.Array) -> dict[str, jax.Array]:
    """The training examples in these places of the ring."""
    ring, labels, count, _ = _ring(data, config)
    chance, wrong = _wrong_labels(count, data.classes)
    y = jnp.where(chance[rows] < config["label_noise"], wrong[rows], labels[rows])
    return {"x": _inputs(data, config, ring[rows]), "y": y}


def _inputs(data: Dataset, config: Config, x: jax.Array) -> jax.Array:
    """What the network sees: f32[N, D]."""
    if data.scaling is not None:
        mean, deviation = data.scaling
        x = (x.astype(jnp.float32) - mean) / deviation
    return x * config["input_scale"]


def _wrap(rows: jax.Array, count: int) -> jax.Array:
    """Places on a ring, for rows below 2 * count; cheaper than a remainder in the step of a micro task."""
    return jnp.where(rows < count, rows, rows - count)


def _wrong_labels(size: int, classes: int) -> tuple[jax.Array, jax.Array]:
    """For each example the label noise from which on it is mislabelled, f32[N], and its wrong label, i32[N]."""
    random = np.random.default_rng(1)
    chance = random.random(size, np.float32)
    return jnp.asarray(chance), jnp.asarray(random.integers(0, classes, size, np.int32))


def cross_entropy(logits: PyTree, labels: jax.Array) -> jax.Array:
    """Mean cross-entropy in nats of logits f32[N, C] and labels i32[N]: f32[]."""
    # The largest logit is taken off before anything is added: at 1e9 the log of the number of classes would be lost in rounding, and a
    # search finds the rules that blow the weights up until the loss reads 0. The loss does not depend on what is taken off, so that
    # number has no gradient. Classes come first, because CPUs vectorise over the examples, but not over a few classes.
    by_class = logits.T
    shifted = by_class - jax.lax.stop_gradient(jnp.max(by_class, axis=0))
    chosen = jnp.take_along_axis(shifted, labels[None], axis=0)[0]
    return jnp.mean(jnp.log(jnp.sum(jnp.exp(shifted), axis=0)) - chosen)
