"""What a coordinate check trains: a rule, a learned optimizer or an optax transformation, given the factors of each tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import optax

from meta_train.contracts import LearnedOptimizer
from meta_train.mup import network
from meta_train.mup.tables import from_factors
from search_space.compose import wrap
from search_space.mup import rule_scales, scale_by
from search_space.program import Program, RuleError, RuleSet
from search_space.training import TrainingStep, training_step
from search_space.use import optimizer
from search_space.width import width_rule

Subject = Callable[[Any], TrainingStep]
"""Tree of `Scales` (its numbers may be traced) → training step on (images, labels)."""

UNSERVED = ("h", "g2", "task")
"""Query inputs that the check does not make."""


def rule_subject(rule: Program | RuleSet, learning_rate: Any, **hypers: Any) -> Subject:
    """A rule, scaled inside where it can be (see `search_space.mup.optimizer`); a wrapper wraps Adam.

    Raises `RuleError` for a rule that asks for what the check does not make.
    """
    if isinstance(rule, RuleSet):
        return optax_subject(optimizer(rule, learning_rate, **hypers))
    if unserved := [name for name in rule.queries if name in UNSERVED]:
        raise RuleError(f"rule '{rule.name}' asks for '{unserved[0]}', which the coordinate check does not make")
    if "u" in rule.queries:
        return lambda factors: _step(wrap(rule, _adam(learning_rate, factors), **hypers))
    if shared := width_rule(rule).shared:
        if rule.plan:
            raise RuleError(f"rule '{rule.name}' cannot be scaled: one number for all tensors, '{shared}', depends on its learning rate")
        return optax_subject(optimizer(rule, learning_rate, **hypers))
    extra = {"examples": float(network.BATCH)} if "examples" in rule.queries else {}

    def subject(factors: Any) -> TrainingStep:
        init, step = training_step(rule, learning_rate, network.losses(), scales=rule_scales(rule, factors), **hypers)
        return TrainingStep(init, lambda params, state, *batch: step(params, state, *batch, **extra))

    return subject


def _adam(learning_rate: Any, factors: Any) -> optax.GradientTransformation:
    return scale_by(optax.adam(learning_rate), factors)


def learned_subject(learned: LearnedOptimizer, theta: Any, learning_rate: Any) -> Subject:
    """A learned optimizer at these meta-parameters."""
    return lambda factors: _step(learned.transform(theta, learning_rate=learning_rate, scales=from_factors(factors)))


def optax_subject(tx: optax.GradientTransformation) -> Subject:
    """Any optax transformation, scaled from outside."""
    return lambda factors: _step(scale_by(tx, factors))


def _step(tx: optax.GradientTransformation) -> TrainingStep:
    loss = network.losses().loss
    full = optax.with_extra_args_support(tx)

    def step(params: Any, state: Any, *batch: Any, **given: Any) -> tuple[Any, Any, jax.Array]:
        value, grads = jax.value_and_grad(loss)(params, *batch)
        updates, state = full.update(grads, state, params, value=value, **given)
        return optax.apply_updates(params, updates), state, value

    return TrainingStep(tx.init, step)
