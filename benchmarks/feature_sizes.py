"""Root mean squares over widths of the normalised features that learned optimizers read, for the hidden matrix of the coordinate check.

The published 39-feature network keeps epsilons (1e-5, 1e-6, 1e-8) beside gradients that shrink with width, so that its features shrink,
too, unless gradients are scaled. Part of `benchmarks.coordinate`; `python -m benchmarks.feature_sizes` prints it alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from meta_train.architectures import scale_free, small_fc
from meta_train.features import FACTORED_DECAYS, MOMENTUM_DECAYS, SECOND_DECAYS, accumulate, published_features, start
from meta_train.mup import network
from meta_train.mup.coordinate_check import WIDTHS
from search_space.mup import optimizer, scale_init

STEPS, RATE = 10, 0.01


def feature_report(widths: Sequence[int], bar: float) -> bool:
    """Print how far each form's features are from their mean over widths; whether those of `scale_free` keep the bar."""
    rows = {width: sizes(width, min(widths)) for width in widths}
    good = True
    for form in rows[widths[0]]:
        table = np.stack([rows[width][form] for width in widths])
        worst = np.abs(table / table.mean(axis=0) - 1).max(axis=0)
        shrinks = float((table[0] / table[-1]).max())
        print(
            f"{form:36s} worst {worst.max():6.1%} (feature {worst.argmax()}), width {widths[0]} / width {widths[-1]} at most {shrinks:.3g}"
        )
        good &= bool(worst.max() <= bar) or not form.startswith("scale_free")
    return good


def sizes(width: int, base: int) -> dict[str, np.ndarray]:
    """RMS of each feature after STEPS steps of Adam under muP, by form; over more seeds where a matrix has fewer entries."""
    forms = {
        "small_fc, gradients plain": (jax.jit(published), 1.0),
        "small_fc, gradients scaled": (jax.jit(published), width / base),
        "scale_free, gradients plain": (jax.jit(ours), 1.0),
        "scale_free, gradients scaled": (jax.jit(ours), width / base),
    }
    found: dict[str, list[np.ndarray]] = {name: [] for name in forms}
    for gradients, weights in hidden_gradients(width, base, seeds=max(1, 1024 // width)):
        for name, (form, factor) in forms.items():
            found[name].append(np.asarray(form([g * factor for g in gradients], weights), np.float64))
    return {name: np.sqrt(np.mean(np.square(rows), axis=0)) for name, rows in found.items()}


def hidden_gradients(width: int, base: int, seeds: int) -> Iterator[tuple[list[jax.Array], jax.Array]]:
    """Gradients of the hidden matrix at each step, and its last value, for each seed."""
    info = network.metadata(width, base)
    tx = optimizer("adam", RATE, info)
    grad = jax.grad(network.losses().loss)

    @jax.jit
    def step(params: Any, state: Any, x: jax.Array, y: jax.Array) -> Any:
        grads = grad(params, x, y)
        updates, state = tx.update(grads, state, params)
        return jax.tree.map(jnp.add, params, updates), state, grads["hidden"]["w"]

    for seed in range(seeds):
        params = scale_init(network.init(jax.random.key(seed), width), info)
        state, found = tx.init(params), []
        for x, y in zip(*network.images(jax.random.key(1000 + seed), STEPS), strict=True):
            params, state, g = step(params, state, x, y)
            found.append(g)
        yield found, params["hidden"]["w"]


def published(gradients: list[jax.Array], weights: jax.Array) -> jax.Array:
    """Of the 28 features of the published network."""
    state = start(weights)
    for g in gradients:
        state = accumulate(g, state, *(jnp.asarray(d) for d in (MOMENTUM_DECAYS, SECOND_DECAYS, FACTORED_DECAYS)))
    by_name = published_features(gradients[-1], weights, state)
    squares = mean_squares([x for name in small_fc.ORDER for x in by_name[name]])
    return jnp.sqrt(squares / (1e-5 + squares))


def ours(gradients: list[jax.Array], weights: jax.Array) -> jax.Array:
    """Of the 10 features of `scale_free` that differ within a tensor."""
    free = jnp.asarray([1.0 - d for d in scale_free.DECAYS])
    averages = [jnp.zeros_like(weights)] * 3
    for g in gradients:
        averages = [s + f * (x - s) for s, f, x in zip(averages, free, (g, g, g * g), strict=True)]
    corrected = 1.0 - (1.0 - free) ** len(gradients)
    statistics = scale_free._statistics(gradients[-1], weights, *averages)
    features, scales = scale_free._features(gradients[-1], weights, *averages, statistics, corrected)
    return jnp.sqrt(mean_squares(features)) * jnp.abs(scales)


def mean_squares(features: Sequence[jax.Array]) -> jax.Array:
    """f32[n]; broadcasting does not change them."""
    return jnp.stack([jnp.mean(x * x) for x in features])


if __name__ == "__main__":
    tyro.cli(lambda: feature_report(WIDTHS, 0.1), description=__doc__)
