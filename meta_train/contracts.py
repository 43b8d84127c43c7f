"""What a learned optimizer is, and what trains one: the types that estimators, the trainer, μP and the command line code against."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax
import optax

PyTree: TypeAlias = Any


class Scales(NamedTuple):
    """Numbers for each tensor (trees like the parameters, f32[] or float leaves), as μP's tables give them; None means ones.

    `update` multiplies the learning rate of the optimizer's own step, `gradient` what the optimizer sees of the gradient,
    `decay` the weight decay.
    """

    update: PyTree = None
    gradient: PyTree = None
    decay: PyTree = None


@runtime_checkable
class LearnedOptimizer(Protocol):
    """An optimizer whose behaviour is given by meta-parameters `theta`, a pytree of f32 arrays; hashable and without state."""

    rate: ClassVar[float]
    """The learning rate that a freshly initialised theta is meant for."""

    @property
    def name(self) -> str:
        """The spec that `meta_train.registry.load` makes it from."""
        ...

    def init(self, key: jax.Array) -> PyTree:
        """Fresh meta-parameters."""
        ...

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
        """The optimizer that theta describes.

        `learning_rate` is a number, a traced scalar or an optax schedule (count → value, count 0 at the first update).
        `weight_decay` is decoupled: learning rate · decay · weights is added to the step where `mask` (a tree of bools like
        the parameters, or a function of them) says so. `num_steps`, the horizon, is used by architectures that look at it, and
        so is the keyword `value` (the loss) of `update`; both may be left out. `update` needs the parameters.
        Updates have the parameters' dtype. The state depends on nothing but the parameters' shapes.
        """
        ...


class OuterStep(NamedTuple):
    """What an outer step saw: the mean loss, the inner steps that it took, and whether all its programs had been compiled before."""

    loss: float
    inner_steps: int
    compiled: bool


class OuterLoop(Protocol):
    """What changes theta: by gradients (`meta_train.descent`) or by generations (`meta_train.generations`)."""

    @property
    def theta(self) -> PyTree:
        """As it is now."""
        ...

    @property
    def skipped(self) -> int:
        """Steps that were not taken because they were not finite."""
        ...

    @property
    def arrays(self) -> dict[str, Any]:
        """Everything that a later step depends on besides the configuration; a checkpoint keeps it."""
        ...

    def restore(self, arrays: dict[str, Any]) -> None:
        """Go on from such arrays, among which there may be others."""
        ...

    def step(self, number: int) -> OuterStep:
        """Take outer step `number`; raises `LearnedOptimizerError` for a task without a finite loss at its initial weights."""
        ...

    def back_to(self, theta: PyTree) -> None:
        """Go on from this theta."""
        ...
