"""Families whose networks follow a width parametrisation, so that optimizers are meta-trained as they will be used."""

from __future__ import annotations

from dataclasses import dataclass, replace

import jax

from meta_train.contracts import Scales
from meta_train.mup.tables import learned_scales
from meta_train.problem import PyTree
from search_space.mup import scale_init
from tasks.contracts import Task, TaskFamily


@dataclass(frozen=True)
class Parametrised:
    """A family whose initial weights are scaled as "sp", "ntp" or "mup" say, and what an optimizer's steps are to be scaled by."""

    family: TaskFamily
    parametrisation: str = "sp"

    @property
    def name(self) -> str:
        return self.family.name

    def sample(self, key: jax.Array) -> PyTree:
        return self.family.sample(key)

    def task(self, config: PyTree) -> Task:
        task = self.family.task(config)
        if self.parametrisation == "sp":
            return task
        return replace(task, init=lambda key: scale_init(task.init(key), task.metadata, self.parametrisation))

    def scales(self, task: Task) -> Scales:
        """Multipliers for each tensor of a task of this family."""
        return Scales() if self.parametrisation == "sp" else learned_scales(task.metadata, self.parametrisation)
