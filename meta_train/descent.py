"""Outer steps by estimated gradients: each family's estimate, their mean, an update of theta."""

from __future__ import annotations

from typing import Any

import jax
from jax.sharding import Mesh

from meta_train import outer
from meta_train.config import MetaConfig
from meta_train.contracts import LearnedOptimizer, OuterStep
from meta_train.mixture import Mixture
from meta_train.problem import PyTree
from meta_train.sharding import place


class Descent:
    """theta, its optimizer and the particles of all families."""

    def __init__(self, config: MetaConfig, optimizer: LearnedOptimizer, theta: PyTree, key: jax.Array, mesh: Mesh) -> None:
        self._config = config
        self._mixture = Mixture(config, optimizer, key, mesh)
        self._update = outer.make_update(config)
        self._state = place(outer.initial(config, theta), mesh)
        self._mixture.begin(self.theta)

    @property
    def theta(self) -> PyTree:
        """As it is now."""
        return self._state.theta

    @property
    def skipped(self) -> int:
        """Steps that were not taken because they were not finite."""
        return int(self._state.skipped)

    @property
    def arrays(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"outer": self._state, "particles": self._mixture.states}

    def restore(self, arrays: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._state, self._mixture.states = arrays["outer"], arrays["particles"]

    def step(self, number: int) -> OuterStep:
        """Outer step `number`, with the gradients of the families whose turn it is."""
        chosen = self._mixture.choose(number)
        compiled = all(self._mixture.members[family].step is not None for family in chosen)
        parts = [self._mixture.estimate(family, self.theta, number) for family in chosen]
        self._state, _ = self._update(self._state, [gradient for gradient, _ in parts])
        loss = float(sum(info.loss for _, info in parts)) / len(parts)  # waits for the step
        return OuterStep(loss, sum(int(info.inner_steps) for _, info in parts), compiled)

    def back_to(self, theta: PyTree) -> None:
        """Go on from this theta, with an optimizer that remembers nothing."""
        self._state = outer.initial(self._config, theta)._replace(skipped=self._state.skipped)
