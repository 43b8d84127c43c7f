"""What is checked of every family: by the tests, and by `python -m benchmarks.families`."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from tasks.contracts import PyTree, Schedule, TaskFamily
from tasks.registry import installed, load

# learning rate of Adam, and the share of the initial validation loss that must remain at most after 100 steps
TRAINED = {
    "adding_rnn": (0.01, 0.3),
    "bbob": (0.3, 0.05),
    "breast_cancer": (0.03, 0.35),
    "deep_linear": (0.03, 0.02),
    "diabetes_mlp": (0.01, 0.45),
    "digits_autoencoder": (0.01, 0.6),
    "digits_convnet": (0.1, 0.25),
    "digits_mlp": (0.01, 0.2),
    "digits_stream": (0.01, 0.75),
    "digits_vit": (0.03, 0.85),
    "flow_2d": (0.03, 0.75),
    "flow_digits": (0.01, 0.85),
    "grammar_lstm": (0.1, 0.95),
    "grammar_recurrence": (0.1, 0.95),
    "grammar_transformer": (0.01, 0.9),
    "lasso": (0.1, 0.06),
    "matrix_sensing": (0.03, 0.02),
    "micro_mlp": (0.03, 0.5),
    "noisy_quadratic": (0.3, 0.1),
    "patch_denoising": (0.03, 0.2),
    "pinn_burgers": (0.1, 0.02),
    "pinn_poisson": (0.1, 0.85),
    "rosenbrock": (0.3, 0.02),
    "siren": (0.1, 0.15),
    "text_lstm": (0.1, 0.6),
    "text_recurrence": (0.1, 0.6),
    "text_transformer": (0.03, 0.63),
    "wine_softmax": (0.1, 0.15),
    "xor": (0.03, 0.1),
}
SMALL = {
    **{name: "width=16&depth=1&context=16&batch=8" for name in installed() if name.startswith(("text", "grammar"))},
    "digits_vit": "width=8&depth=1&batch=32",
    "digits_convnet": "width=8&batch=32",
}
"""Smaller forms of the families that take long to compile and run."""


def spec(name, **options):
    """A family in its small form, with further options."""
    parts = [SMALL[name]] if name in SMALL else []
    parts += [f"{key}={value}" for key, value in options.items()]
    return "?".join([name, "&".join(parts)]) if parts else name


GAMES = ("bilinear_game", "coherent_game")
"""Where the gradient is no slope of one function."""
STEPS = 100
FAST = {"xla_backend_optimization_level": 0}
"""Compiling takes longer than running here."""


class Made(NamedTuple):
    """A family's functions, each compiled once and for any configuration; configurations are stacked, three of a kind."""

    family: TaskFamily
    plain: PyTree
    varied: PyTree
    setup: Callable  # (config, key) -> weights, minibatches of all steps, "valid", "test"
    slope: Callable  # (config, params, batch, key) -> loss and gradient in float64
    loss: Callable  # the same loss in float32


@cache
def make(name):
    """What the tests of a family share."""
    family = load(spec(name, vary=1))
    keys = jax.random.split(jax.random.key(0), 3)
    plain, varied = (jax.jit(jax.vmap(load(spec(name, vary=vary)).sample))(keys) for vary in (0, 1))

    def loss(config, params, batch, key):
        return family.task(config).loss(params, batch, key)

    compiled = (jax.jit(f, compiler_options=FAST) for f in (jax.value_and_grad(loss, 1), loss))
    return Made(family, plain, varied, jax.jit(setup_of(family), compiler_options=FAST), *compiled)


def setup_of(family):
    """The function `setup` of a family."""

    def setup(config, key):
        task = family.task(config)
        batches = jax.vmap(lambda step: task.minibatch(key, step))(jnp.arange(STEPS))
        return task.init(key), batches, task.batch(key, "valid"), task.batch(key, "test")

    return setup


def at(tree, index):
    """One of several that are stacked."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def slopes(name):
    """The slope of the loss along a random direction, by the gradient and by a central difference, in float64."""
    made, config, distance = make(name), at(make(name).varied, 0), 1e-6
    start, batches, _, _ = made.setup(config, jax.random.key(2))
    random = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) + 0.01, start)
    direction = jax.tree.map(lambda leaf: random.normal(size=leaf.shape), params)

    def along(distance):
        moved = jax.tree.map(lambda p, d: p + distance * d, params, direction)
        return made.slope(config, moved, at(batches, 0), jax.random.key(3))

    with jax.enable_x64(True):
        gradient = along(0.0)[1]
        by_difference = (float(along(distance)[0]) - float(along(-distance)[0])) / (2 * distance)
    pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
    return sum(np.vdot(g, d) for g, d in pairs), by_difference


def adam(slope, params, rates):
    """Weights in float64 after a step of Adam for each of the rates (arXiv:1412.6980); `slope(params, step)` is the gradient."""
    leaves, tree = jax.tree.flatten(params)
    m, v = ([np.zeros(leaf.shape) for leaf in leaves] for _ in range(2))
    for step, rate in enumerate(rates):
        gradients = [np.asarray(g) for g in jax.tree.leaves(slope(jax.tree.unflatten(tree, leaves), step))]
        m = [0.9 * a + 0.1 * g for a, g in zip(m, gradients, strict=True)]
        v = [0.999 * a + 0.001 * g * g for a, g in zip(v, gradients, strict=True)]
        first, second = 1 - 0.9 ** (step + 1), 1 - 0.999 ** (step + 1)
        leaves = [p - rate * (a / first) / (np.sqrt(b / second) + 1e-8) for p, a, b in zip(leaves, m, v, strict=True)]
    return jax.tree.unflatten(tree, leaves)


def trained(made, rate, key):
    """Validation loss before a training, and validation and test loss after it."""
    config = at(made.plain, 0)
    start, batches, valid, test = made.setup(config, key)
    batches = jax.tree.map(np.asarray, batches)
    rates = rate * np.asarray(Schedule().value(np.arange(STEPS), STEPS))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), start)
        end = adam(lambda params, step: made.slope(config, params, at(batches, step), key)[1], wide, rates)
    end = jax.tree.map(lambda leaf: leaf.astype(np.float32), end)
    as_many = jax.tree.map(lambda t, v: t[: v.shape[0]] if t.ndim else t, test, valid)  # one compilation for both
    return [float(made.loss(config, *pair, key)) for pair in ((start, valid), (end, valid), (end, as_many))]
