"""Small tools for writing an author's formula down: one function for each rule, state that starts at zero."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from tests.search_space.zoo.harness import Step, Tree


class State:
    """State of a formula: an attribute that was never set is 0."""

    def __getattr__(self, name: str) -> Any:
        return 0.0


def _with_signature(make: Callable[..., Step], formula: Callable[..., Any]) -> Callable[..., Step]:
    """`make` with the keyword defaults of `formula`, which are the authors' hyperparameters."""
    make.__signature__ = inspect.signature(formula)  # type: ignore[attr-defined]
    return make


def per_tensor(formula: Callable[..., Any]) -> Callable[..., Step]:
    """`formula(s, g, w, t, lr, **hypers)` → what is added to w; called for each tensor with a state `s` of its own."""

    def make(params: Tree, lr: float, **hypers: float) -> Step:
        states = {k: State() for k in params}

        def step(grads: Tree, params: Tree, t: int, extra: Mapping[str, Any]) -> Tree:
            return {k: np.asarray(formula(states[k], grads[k], params[k], t, lr, **hypers)) for k in grads}

        return step

    return _with_signature(make, formula)


def whole_tree(formula: Callable[..., Tree]) -> Callable[..., Step]:
    """`formula(s, grads, params, t, lr, extra, **hypers)` → what is added to the weights, all tensors at once."""

    def make(params: Tree, lr: float, **hypers: float) -> Step:
        state = State()
        return lambda grads, params, t, extra: formula(state, grads, params, t, lr, extra, **hypers)

    return _with_signature(make, formula)


def from_optax(factory: Callable[..., Any]) -> Callable[..., Step]:
    """`factory(lr, **hypers)` → an optax transformation, run in float64: in float32 optax loses digits of its own in 1 - b2."""

    @jax.jit
    def update(numbers: Any, grads: Any, state: Any, params: Any, keywords: Any) -> Any:
        return factory(**numbers).update(grads, state, params, **keywords)

    def make(params: Tree, lr: float, **hypers: float) -> Step:
        numbers = {"lr": lr, **hypers}
        with jax.enable_x64(True):
            state = factory(**numbers).init(jax.tree.map(jnp.asarray, params))

        def step(grads: Tree, params: Tree, t: int, extra: Mapping[str, Any]) -> Tree:
            nonlocal state
            with jax.enable_x64(True):
                updates, state = update(numbers, grads, state, params, {"value": extra["f"]} if "f" in extra else {})
                return jax.tree.map(np.asarray, updates)

        return step

    return _with_signature(make, factory)
