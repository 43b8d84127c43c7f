"""How wrappers are measured: a stream of proposed updates in, what is applied and the weights to evaluate at out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from search_space import evaluation_params, optimizer, zoo
from tests.search_space.zoo.authors.problem import asking, flat
from tests.search_space.zoo.harness import RUNS, STEPS, Reference, as_float32, gradients, weights

Array = np.ndarray


def validation_losses(seed: int) -> Array:
    """Falling, then level with noise; (T,)."""
    noise = np.random.default_rng(seed + 400).normal(size=STEPS)
    return (1 + np.exp(-np.arange(STEPS) / 30) + 0.01 * noise).astype(np.float32)


@cache
def _runner(name: str) -> Callable[..., Any]:
    """(weights, proposed updates, losses, learning rate, hyperparameters) → (weights before, updates, evaluation weights after)."""

    @jax.jit
    def run(params: Any, proposed: Any, losses: Any, lr: Any, hypers: Any) -> Any:
        tx = optimizer(name, lr, **hypers)

        def one(carry: Any, now: Any) -> Any:
            p, state = carry
            u, state = tx.update(now[0], state, p, proposed_update=now[0], value=now[1])
            new = jax.tree.map(jnp.add, p, u)
            return (new, state), (p, u, evaluation_params(name, state, new, learning_rate=lr, **hypers))

        return jax.lax.scan(one, (params, tx.init(params)), (proposed, losses))[1]

    return run


def by_wrapping(name: str, reference: Reference) -> list[float]:
    """Worst relative L2 error of updates and evaluation weights over all steps, for each of `RUNS`.

    `reference.make({}, lr, **hypers)` gives `step(w, now)` → (what is added to the weights, evaluation weights), with `now.t`,
    `now.u` the proposed update (to be subtracted), `now.f` the loss.
    """
    return [_error(name, reference, seed, reference.rates[rate], reference.hypers if own else {}) for seed, rate, own in RUNS]


def _error(name: str, reference: Reference, seed: int, lr: float, hypers: Mapping[str, float]) -> float:
    values = {h.name: np.float32(h.default) for h in zoo.program(name).hypers} | {k: np.float32(v) for k, v in hypers.items()}
    proposed = {k: (np.float32(lr) * v).astype(np.float32) for k, v in gradients(seed).items()}
    losses = validation_losses(seed)
    before, updates, views = jax.tree.map(np.asarray, _runner(name)(weights(seed), proposed, losses, np.float32(lr), values))
    step: Any = reference.make({}, float(np.float32(lr)), **as_float32(reference.make, hypers))
    at = lambda tree, t: flat({k: v[t] for k, v in tree.items()})  # noqa: E731
    worst = []
    for t in range(STEPS):
        delta, view = step(at(before, t), SimpleNamespace(t=t + 1, u=at(proposed, t), f=float(losses[t])))
        worst += [_relative(at(updates, t), delta), _relative(at(views, t), view)]
    return float(np.max(worst))


def _relative(x: Array, y: Array) -> float:
    return float(np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-12))  # a zero update of the gradient's zero step is no error


def wrapper(formula: Callable[..., Any], **options: Any) -> Reference:
    """A reference that is measured on a stream of proposed updates."""
    return Reference(asking(formula), measure=by_wrapping, **{"hypers": {}, **options})
