"""What a task, a family of tasks, a batched optimizer and a schedule are: the types that other packages code against.

Letters: B members (independent trainings) of a batch. A member is one task, one seed and one learning rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import jax.numpy as jnp
import optax

from tasks.streams import derive

PyTree: TypeAlias = Any
Role: TypeAlias = Literal["input", "hidden", "output", "vector"]
Split: TypeAlias = Literal["train", "valid", "test"]
SPLITS: tuple[Split, ...] = ("train", "valid", "test")


class Status(IntEnum):
    """How one training ended."""

    OK = 0
    NONFINITE = 1  # an update, the optimizer's state or a measured loss was infinite or not a number
    DIVERGED = 2  # finite, but the final loss is far above the initial one (see `rollout.diverged`)


@dataclass(frozen=True)
class TensorMeta:
    """What a scaling rule needs to know about one parameter tensor.

    `width_mult` says how many times wider than the family's base model the layers are that this tensor touches;
    it is 1 for a tensor whose shape does not depend on the width. Which side grows follows from `role`: the
    outputs of "input" tensors, the inputs of "output" tensors, both sides of "hidden" tensors.
    """

    role: Role
    fan_in: int
    fan_out: int
    width_mult: float = 1.0


@dataclass(frozen=True, eq=False)
class Task:
    """One thing to train, as three pure functions and a description.

    init(key) -> params: a nested dict of arrays.
    batch(key, split) -> batch: a random minibatch of "train"; "valid" and "test" may be fixed and ignore the key.
    loss(params, batch, key) -> f32[]: the mean loss; the key is for stochastic models.
    metadata: a `TensorMeta` for each leaf of params. optimum: the lowest value of the loss, where it is known.
    metric: name and unit of the loss. stream(key, step) -> batch: the minibatch of a step where training data change with
    time; key is the training's own. Two tasks are equal only if they are the same object.
    """

    name: str
    init: Callable[[jax.Array], PyTree]
    batch: Callable[[jax.Array, Split], PyTree]
    loss: Callable[[PyTree, PyTree, jax.Array], jax.Array]
    metadata: PyTree
    optimum: float | None = None
    metric: str = "loss"
    stream: Callable[[jax.Array, jax.Array | int], PyTree] | None = None

    def minibatch(self, key: jax.Array, step: jax.Array | int) -> PyTree:
        """What a training with this key sees at a step, i32[]."""
        return self.batch(derive(key, step), "train") if self.stream is None else self.stream(key, step)


@runtime_checkable
class TaskFamily(Protocol):
    """Tasks of equal shapes that differ in data.

    sample(key) -> config: a pytree of arrays that can be stacked and vmapped. task(config) -> Task, where config may be
    traced. Shapes (width, depth, batch size) are constructor arguments. Families must be hashable, and equal when
    they make equal tasks, because compiled programs are cached under them.
    """

    @property
    def name(self) -> str: ...

    def sample(self, key: jax.Array) -> PyTree: ...

    def task(self, config: PyTree) -> Task: ...


@dataclass(frozen=True)
class _Single:
    """A family with one member."""

    only: Task

    @property
    def name(self) -> str:
        return self.only.name

    def sample(self, key: jax.Array) -> PyTree:
        del key
        return {"unused": jnp.zeros(())}  # one leaf, so that the number of stacked configs is known

    def task(self, config: PyTree) -> Task:
        del config
        return self.only


def single(task: Task) -> TaskFamily:
    """Wrap one fixed task as a family, whose configurations are all alike."""
    return _Single(task)


class BatchOptimizer(NamedTuple):
    """An optimizer of B trainings at once.

    init(params) -> state. update(grads, state, params, learning_rate) -> (updates, state). finite(updates, state) -> bool[B].
    Leaves of params, grads and updates lead with B; learning_rate is f32[B], schedule included. Updates are added to
    params, as in optax. State leaves need not lead with B, which is why `finite` belongs to the optimizer.
    """

    init: Callable[[PyTree], PyTree]
    update: Callable[[PyTree, PyTree, PyTree, jax.Array], tuple[PyTree, PyTree]]
    finite: Callable[[PyTree, PyTree], jax.Array]


def from_optax(factory: Callable[[jax.Array], optax.GradientTransformation]) -> BatchOptimizer:
    """Batch `factory(learning_rate) -> optax transformation` over members that each have a learning rate, f32[].

    The transformation is rebuilt from the traced rate of each step, so that no value is baked into the compiled
    program; its state must therefore not depend on the rate, which holds for optax's own optimizers.
    """

    def init(params: PyTree) -> PyTree:
        return jax.vmap(factory(jnp.ones(())).init)(params)

    def one(grads: PyTree, state: PyTree, params: PyTree, learning_rate: jax.Array) -> tuple[PyTree, PyTree]:
        return factory(learning_rate).update(grads, state, params)

    return BatchOptimizer(init, jax.vmap(one), all_finite)


MANY = 1024
"""Numbers of a member from which on a product with a vector sums them faster than a loop does."""


def all_finite(*trees: PyTree) -> jax.Array:
    """Say for each member whether all floating-point leaves (B leading) are finite: bool[B], or bool[] without such leaves.

    Leaves of equal shape are joined first, and x · 0 is 0 or NaN: elementwise operations and sums vectorise on CPUs, other reductions
    do not; a sum of many numbers is cheapest as a product with a vector, one of few is cheapest inside the loop that makes them.
    """
    by_shape: dict[tuple[int, ...], jax.Array] = {}
    for leaf in jax.tree.leaves(trees):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            zeros = leaf * 0
            by_shape[leaf.shape] = by_shape[leaf.shape] + zeros if leaf.shape in by_shape else zeros
    result = jnp.ones((), bool)
    for zeros in by_shape.values():
        rows = zeros.reshape(zeros.shape[0], -1)
        total = jnp.dot(rows, jnp.ones(rows.shape[1], rows.dtype)) if rows.shape[1] >= MANY else jnp.sum(rows, axis=1)
        result = result & (total == 0)
    return result


@dataclass(frozen=True)
class Schedule:
    """A multiplier of the learning rate: linear warm-up over a fraction of the steps, then constant or half a cosine."""

    kind: Literal["constant", "cosine"] = "cosine"
    warmup: float = 0.05

    def __post_init__(self) -> None:
        if self.kind not in ("constant", "cosine"):
            raise ValueError(f'schedule kind is {self.kind!r}, allowed: "constant", "cosine"')
        if not 0.0 <= self.warmup <= 1.0:
            raise ValueError(f"schedule warmup is {self.warmup}, allowed: a fraction from 0 to 1")

    def value(self, step: jax.Array | int, steps: jax.Array | int) -> jax.Array:
        """Multiplier in (0, 1] for step 0 ≤ step < steps, both possibly traced: f32[]. It is never 0 at a step taken."""
        step, steps = jnp.asarray(step, jnp.float32), jnp.asarray(steps, jnp.float32)
        warm = self.warmup * steps
        rise = jnp.minimum(1.0, (step + 1.0) / jnp.maximum(warm, 1.0))
        if self.kind == "constant":
            return rise
        progress = jnp.clip((step - warm) / jnp.maximum(steps - warm, 1.0), 0.0, 1.0)
        return rise * 0.5 * (1.0 + jnp.cos(jnp.pi * progress))
