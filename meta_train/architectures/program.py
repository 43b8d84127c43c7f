"""A symbolic program as a learned optimizer: its hyperparameters are the meta-parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax

from meta_train.assembly import LearnedState, decayed, multiply
from meta_train.contracts import PyTree, Scales
from search_space import Program, load, optimizer
from search_space.program import Hyper, RuleError

_SMALLEST = 1e-12  # a scale of 0 has no logarithm: it starts here


@dataclass(frozen=True)
class ProgramOptimizer:
    """theta holds a number for each hyperparameter of `rule` (a name, a path or a text), and "log_rate", which multiplies the rate.

    A hyperparameter in (0, 1) is kept as logit(1 − x), a positive one (`scale`) as log x, others as they are. `decay` is not among
    them: it stays the user's. Raises `RuleError` for a rule that asks for more than gradients, or has a rule for each role.
    """

    rule: str

    rate: ClassVar[float] = 1e-3

    @property
    def name(self) -> str:
        return f"program:{self.rule}"

    @cached_property
    def program(self) -> Program:
        loaded = load(Path(self.rule) if self.rule.endswith(".rule") else self.rule)
        if not isinstance(loaded, Program):
            raise RuleError(f"rule '{self.rule}' has one function for each role; meta-training takes rules of one function")
        if loaded.plan or loaded.queries:
            raise RuleError(
                f"rule '{loaded.name}' asks for more than gradients: {', '.join([*loaded.queries, *(e.name for e in loaded.plan)])}"
            )
        return loaded

    def init(self, key: jax.Array) -> PyTree:
        """The rule's own defaults, log_rate 0."""
        del key
        tuned = {h.name: free(h, float(h.default)) for h in self._tuned()}
        return {"log_rate": jnp.zeros(()), "hypers": {k: jnp.asarray(x, jnp.float32) for k, x in tuned.items()}}

    def hyperparameters(self, theta: PyTree) -> dict[str, jax.Array]:
        """The rule's hyperparameters at theta."""
        return {h.name: bound(h, theta["hypers"][h.name]) for h in self._tuned()}

    def transform(
        self,
        theta: PyTree,
        *,
        learning_rate: float | jax.Array | Callable[[jax.Array], Any],
        weight_decay: float | jax.Array = 0.0,
        mask: PyTree | Callable[[PyTree], PyTree] | None = None,
        scales: Scales = Scales(),
        num_steps: int | jax.Array | None = None,
    ) -> optax.GradientTransformationExtraArgs:
        """`search_space.optimizer` of the rule; decay and multipliers act around it. `num_steps` is not used."""
        del num_steps
        factor, hypers = jnp.exp(theta["log_rate"]), {**self._fixed(), **self.hyperparameters(theta)}

        def inner(rate: Any) -> optax.GradientTransformationExtraArgs:
            return optimizer(self.program, factor * rate, **hypers)

        def init_fn(params: PyTree) -> LearnedState:
            return LearnedState(jnp.zeros((), jnp.int32), inner(1.0).init(params), ())

        def update_fn(updates: PyTree, state: Any, params: PyTree = None, **extra: Any) -> tuple[Any, Any]:
            if params is None:
                raise ValueError("a learned optimizer reads the weights: call update(grads, state, params)")
            rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate, jnp.float32)
            grads = jax.tree.map(multiply, updates, scales.gradient) if scales.gradient is not None else updates
            steps, kept = inner(rate).update(grads, state.tensors, params, **extra)
            steps = jax.tree.map(multiply, steps, scales.update) if scales.update is not None else steps
            steps = decayed(steps, params, rate, weight_decay, mask, scales)
            return steps, LearnedState(optax.safe_increment(state.count), kept, ())

        return optax.GradientTransformationExtraArgs(init_fn, update_fn)

    def _tuned(self) -> list[Hyper]:
        return [h for h in self.program.hypers if h.name != "decay"]

    def _fixed(self) -> dict[str, float]:
        return {h.name: 0.0 for h in self.program.hypers if h.name == "decay"}


def free(hyper: Hyper, value: float) -> float:
    """A hyperparameter as an unbounded number."""
    if hyper.prior == "unit":
        rest = min(max(1.0 - value, 1e-7), 1.0 - 1e-7)
        return math.log(rest / (1.0 - rest))
    return math.log(max(value, _SMALLEST)) if hyper.prior == "scale" else value


def bound(hyper: Hyper, value: jax.Array) -> jax.Array:
    """The hyperparameter that an unbounded number stands for."""
    if hyper.prior == "unit":
        return jax.nn.sigmoid(-value)
    return jnp.exp(value) if hyper.prior == "scale" else value
