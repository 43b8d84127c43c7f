"""From what an architecture computes for its tensors to an optax transformation: learning rate, decay, masks and multipliers, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from meta_train.contracts import PyTree, Scales


class Moment(NamedTuple):
    """What is known about the present step.

    `count` (int32[]) updates were made before; `rate` (f32[]) is the learning rate; `loss` (f32[]) and `num_steps` may be None;
    `extra` are the further keywords of `update`.
    """

    count: Any  # pyright: ignore[reportIncompatibleMethodOverride]  (optax's name for it)
    rate: jax.Array
    loss: jax.Array | None
    num_steps: Any
    extra: dict[str, Any]


class LearnedState(NamedTuple):
    """State of a learned optimizer: updates made (int32[]), a state for each tensor (a tree like the parameters), and a common one."""

    count: Any  # pyright: ignore[reportIncompatibleMethodOverride]  (optax's name for it)
    tensors: PyTree
    shared: PyTree


class Core(Protocol):
    """The part of an architecture that is its own. Gradients and weights are f32, in a fixed order."""

    def start(self, params: Sequence[jax.Array]) -> tuple[list[PyTree], PyTree]:
        """States of the tensors and the common one before the first step."""
        ...

    def step(
        self, theta: PyTree, grads: list[jax.Array], params: list[jax.Array], states: list[PyTree], shared: PyTree, moment: Moment
    ) -> tuple[list[jax.Array], list[PyTree], PyTree]:
        """Directions (to be multiplied by the learning rate and subtracted), new states, new common state."""
        ...


@dataclass(frozen=True)
class PerTensor:
    """A core that treats each tensor alone: start(param) → state, step(theta, grad, param, state, moment) → (direction, state)."""

    start_one: Callable[[jax.Array], PyTree]
    step_one: Callable[..., tuple[jax.Array, PyTree]]

    def start(self, params: Sequence[jax.Array]) -> tuple[list[PyTree], PyTree]:
        return [self.start_one(p) for p in params], ()

    def step(
        self, theta: PyTree, grads: list[jax.Array], params: list[jax.Array], states: list[PyTree], shared: PyTree, moment: Moment
    ) -> tuple[list[jax.Array], list[PyTree], PyTree]:
        pairs = [self.step_one(theta, g, p, s, moment) for g, p, s in zip(grads, params, states, strict=True)]
        return [d for d, _ in pairs], [s for _, s in pairs], shared


@dataclass(frozen=True)
class Architecture:
    """Base of the architectures: `base` is the name in the registry, fields are parameters, `rate` as in the contract."""

    base: ClassVar[str]
    rate: ClassVar[float] = 1.0

    @property
    def name(self) -> str:
        """The spec: name?parameter=value&… with the parameters that differ from the defaults."""
        changed = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default]
        return self.base + ("?" + "&".join(changed) if changed else "")

    def init(self, key: jax.Array) -> PyTree:
        """Fresh meta-parameters."""
        raise NotImplementedError

    def core(self) -> Core:
        """What is this architecture's own."""
        raise NotImplementedError

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
        """The optimizer that theta describes; see `contracts.LearnedOptimizer`."""
        return assemble(
            self.core(), theta, learning_rate=learning_rate, weight_decay=weight_decay, mask=mask, scales=scales, num_steps=num_steps
        )


def assemble(
    core: Core,
    theta: PyTree,
    *,
    learning_rate: float | jax.Array | Callable[[jax.Array], Any],
    weight_decay: float | jax.Array = 0.0,
    mask: PyTree | Callable[[PyTree], PyTree] | None = None,
    scales: Scales = Scales(),
    num_steps: int | jax.Array | None = None,
) -> optax.GradientTransformationExtraArgs:
    """The transformation; arguments as in `contracts.LearnedOptimizer.transform`. Raises `ValueError` at an update without weights."""

    def init_fn(params: PyTree) -> LearnedState:
        leaves, structure = jax.tree.flatten(params)
        states, shared = core.start(leaves)
        return LearnedState(jnp.zeros((), jnp.int32), structure.unflatten(states), shared)

    def update_fn(updates: PyTree, state: Any, params: PyTree = None, *, value: Any = None, **extra: Any) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("a learned optimizer reads the weights: call update(grads, state, params)")
        weights, structure = jax.tree.flatten(params)
        rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate, jnp.float32)
        moment = Moment(state.count, rate, None if value is None else jnp.asarray(value, jnp.float32), num_steps, extra)
        w = [jnp.asarray(p, jnp.float32) for p in weights]
        grads = [jnp.asarray(g, jnp.float32) for g in structure.flatten_up_to(updates)]
        grads = _times(grads, scales.gradient, structure)
        directions, states, shared = core.step(theta, grads, w, structure.flatten_up_to(state.tensors), state.shared, moment)
        steps = structure.unflatten([-rate * d for d in _times(directions, scales.update, structure)])
        steps = decayed(steps, params, rate, weight_decay, mask, scales)
        return steps, LearnedState(optax.safe_increment(state.count), structure.unflatten(states), shared)

    return optax.GradientTransformationExtraArgs(init_fn, update_fn)


def decayed(steps: PyTree, params: PyTree, rate: jax.Array, weight_decay: Any, mask: Any, scales: Scales) -> PyTree:
    """Updates with − rate · decay · weights added where the mask says so, in the parameters' dtype."""
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return jax.tree.map(lambda s, p: s.astype(jnp.asarray(p).dtype), steps, params)
    weights, structure = jax.tree.flatten(params)
    decay = _times([jnp.asarray(weight_decay, jnp.float32)] * len(weights), scales.decay, structure)
    decay = _times(decay, mask(params) if callable(mask) else mask, structure)
    out = [(s - rate * k * p).astype(jnp.asarray(p).dtype) for s, k, p in zip(structure.flatten_up_to(steps), decay, weights, strict=True)]
    return structure.unflatten(out)


def multiply(value: Any, factor: Any) -> jax.Array:
    """A product in float32; a bool counts as 0 or 1."""
    return jnp.asarray(value, jnp.float32) * jnp.asarray(factor, jnp.float32)


def _times(values: list[Any], factors: PyTree, structure: Any) -> list[Any]:
    """Each value times its factor, where there are any."""
    return values if factors is None else [multiply(v, f) for v, f in zip(values, structure.flatten_up_to(factors), strict=True)]
