"""Putting rules together: wrappers around an update, filters of a gradient, schedules, and factories for optax's tools."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from search_space.compiler import run, to_optax
from search_space.dataflow import dataflow
from search_space.program import Program, RuleError, RuleSet
from search_space.tensors import hyper_values
from search_space.use import load, optimizer

Rule = str | Path | Program


class WrapState(NamedTuple):
    """States of the wrapped transformation and of the wrapper."""

    inner: Any
    outer: Any


def wrap(
    rule: Rule, inner: optax.GradientTransformation, learning_rate: Any = 1.0, **hyperparameters: Any
) -> optax.GradientTransformationExtraArgs:
    """A wrapper rule (one that reads `u`: averages, restores, look-ahead) around any optax transformation.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from search_space import evaluation_params, wrap
        >>> tx = wrap("ema", optax.sgd(0.5), decay=0.5)
        >>> w = jnp.asarray([1.0])
        >>> u, state = tx.update(jnp.asarray([1.0]), tx.init(w), w)
        >>> float(evaluation_params("ema", state, w + u, decay=0.5)[0])
        0.75
    """
    outer, inside = optimizer(rule, learning_rate, **hyperparameters), optax.with_extra_args_support(inner)

    def init_fn(params: Any) -> Any:
        return WrapState(inside.init(params), outer.init(params))

    def update_fn(updates: Any, state: Any, params: Any = None, **extra: Any) -> tuple[Any, Any]:
        proposed, inner_state = inside.update(updates, state.inner, params, **extra)
        negated = jax.tree.map(jnp.negative, proposed)
        final, outer_state = outer.update(updates, state.outer, params, **{**extra, "proposed_update": negated})
        return final, WrapState(inner_state, outer_state)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def gradient_filter(rule: Rule, **hyperparameters: Any) -> optax.GradientTransformationExtraArgs:
    """A rule as a transformation of the gradient, to chain before an optimizer: what it would subtract at learning rate 1.

    Example:
        >>> import optax
        >>> from search_space import gradient_filter, optimizer
        >>> tx = optax.chain(gradient_filter("grokfast_ema"), optimizer("adam", 1e-3))
    """
    return optax.chain(optimizer(rule, 1.0, **hyperparameters), optax.scale(-1.0))


def schedule(rule: Rule, peak: Any, **hyperparameters: Any) -> Callable[[Any], jax.Array]:
    """A schedule rule as an optax schedule: count of steps made → learning rate.

    `lr` of the rule is `peak`, a number or another schedule: `schedule("warmup", schedule("cosine", 0.1))` is their product.

    Raises `RuleError` for a rule that keeps state or reads weights or gradients.

    Example:
        >>> from search_space import optimizer, schedule
        >>> rate = schedule("linear_decay", 0.1, total=10)
        >>> round(float(rate(5)), 3)
        0.05
        >>> tx = optimizer("lion", learning_rate=rate)
    """
    program = _program(rule)
    flow = dataflow(program)
    asked = [str(n.ref) for n in flow.nodes if n.op == "input" and n.ref not in ("lr", "t")]
    if flow.slots or asked:
        raise RuleError(f"rule '{program.name}' is no plain schedule: it reads {', '.join([s.name for s in flow.slots] + asked)}")
    values = hyper_values(program.hypers, hyperparameters)

    def rate(count: Any) -> jax.Array:
        result, _ = run(flow, [()], {"lr": peak(count) if callable(peak) else peak, "t": jnp.asarray(count) + 1}, values, {})
        return result[0].reshape(())

    return rate


class Controller(NamedTuple):
    """`init(params) → state`; `update(state, grads, params, **extra) → (number, state)`."""

    init: Callable[[Any], Any]
    update: Callable[..., tuple[jax.Array, Any]]


def controller(rule: Rule, start: Any = 1.0, **hyperparameters: Any) -> Controller:
    """A rule whose value is one number (batch size, learning rate, period of synchronisation …).

    Its `lr` is `start`, a number or a schedule. Raises `RuleError` for a rule whose value is not one number.
    """
    program = _program(rule)
    flow = dataflow(program)
    if flow.kinds[flow.result] != "global":
        raise RuleError(f"rule '{program.name}' gives a {flow.kinds[flow.result]} value; a controller gives one number")
    tx = to_optax(program, start, hyperparameters)

    def update(state: Any, grads: Any, params: Any = None, **extra: Any) -> tuple[jax.Array, Any]:
        if not jax.tree.leaves(grads):
            raise ValueError(f"controller '{program.name}' was given no tensors to look at")
        updates, state = tx.update(jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), grads), state, params, **extra)
        return -jax.tree.leaves(updates)[0].reshape(-1)[0], state

    return Controller(tx.init, update)


def factory(rule: str | Path | Program | RuleSet) -> Callable[..., optax.GradientTransformationExtraArgs]:
    """`make(learning_rate, **hyperparameters)` with an explicit signature, as `optax.inject_hyperparams` needs it.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from search_space import factory
        >>> tx = optax.inject_hyperparams(factory("lion"))(learning_rate=1e-3, b1=0.95)
        >>> round(float(tx.init(jnp.zeros(2)).hyperparams["b1"]), 3)
        0.95
    """
    loaded = rule if isinstance(rule, Program | RuleSet) else load(rule)
    programs = [p for _, p in loaded.parts] if isinstance(loaded, RuleSet) else [loaded]
    defaults = {h.name: h.default for p in programs for h in p.hypers}

    def make(learning_rate: Any, **hyperparameters: Any) -> optax.GradientTransformationExtraArgs:
        return optimizer(loaded, learning_rate, **hyperparameters)

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter("learning_rate", kind), *(inspect.Parameter(n, kind, default=d) for n, d in defaults.items())]
    make.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    make.__name__ = programs[-1].name
    return make


def _program(rule: Rule) -> Program:
    program = rule if isinstance(rule, Program) else load(rule)
    if isinstance(program, RuleSet):
        raise RuleError("one rule expected, found one for each role")
    return program
