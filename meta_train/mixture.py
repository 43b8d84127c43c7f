"""The families of a run, each with its own compiled estimator, because their shapes differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from meta_train.augment import Augmentation
from meta_train.config import MetaConfig
from meta_train.contracts import LearnedOptimizer
from meta_train.errors import LearnedOptimizerError
from meta_train.estimators.contracts import Info
from meta_train.estimators.registry import make
from meta_train.inner import TaskProblem, ValidatedProblem
from meta_train.parametrised import Parametrised
from meta_train.problem import PyTree
from meta_train.sharding import make_step, place, place_state
from tasks.contracts import Schedule
from tasks.registry import load
from tasks.streams import derive

_CHOICE, _ESTIMATE = 0, 1


@dataclass
class Member:
    """A family at work; `state` and `step` are made at its first turn."""

    problem: TaskProblem
    estimator: Any
    state: Any = None
    step: Any = None


class Mixture:
    """Families, their particles' states, and which of them have their turn in an outer step."""

    def __init__(self, config: MetaConfig, optimizer: LearnedOptimizer, key: jax.Array, mesh: Mesh) -> None:
        self._config, self._key, self._mesh = config, key, mesh
        parts = (config.particles, config.steps, config.sigma)
        self.members = [Member(problem, make(config.estimator, problem, *parts)) for problem in families(config, optimizer)]

    def begin(self, theta: PyTree) -> None:
        """Put all particles before their first episode."""
        for member in self.members:
            member.state = place_state(member.estimator.init(theta, self._config.shortest), self._mesh)

    @property
    def states(self) -> list[Any]:
        """What a checkpoint keeps."""
        return [member.state for member in self.members]

    @states.setter
    def states(self, states: list[Any]) -> None:
        for member, state in zip(self.members, states, strict=True):
            member.state = state

    def choose(self, step: int) -> list[int]:
        """The families of an outer step, in the order of the configuration."""
        return turn(self._config, derive(self._key, _CHOICE), step)

    def estimate(self, number: int, theta: PyTree, step: int) -> tuple[PyTree, Info]:
        """The gradient of one family's meta-loss; its particles move on."""
        member = self.members[number]
        begins = member.step is None
        if begins:
            member.step = make_step(member.estimator, member.state, self._mesh)
        key = place(derive(derive(derive(self._key, _ESTIMATE), number), step), self._mesh)
        limit = place(jnp.int32(longest(self._config, step)), self._mesh)
        state = member.state._replace(limit=limit)
        gradient, member.state, info = member.step(theta, state, key)
        if begins and not np.any(np.isfinite(member.state.particles.carry.first)):
            raise unsound(self._config.tasks[number])
        return gradient, info


def unsound(spec: str) -> LearnedOptimizerError:
    """The complaint about a task that cannot be trained on."""
    return LearnedOptimizerError(f"task {spec!r} has no finite loss at its initial weights")


def longest(config: MetaConfig, step: int) -> int:
    """The longest episode that may start at an outer step: grows geometrically over the curriculum."""
    share = 1.0 if config.curriculum == 0 else min(1.0, step / config.curriculum)
    return round(config.shortest * (config.longest / config.shortest) ** share)


def turn(config: MetaConfig, key: jax.Array, step: int) -> list[int]:
    """Numbers of the families of an outer step, in the order of the configuration."""
    count = len(config.tasks)
    if count == config.families_per_step:
        return list(range(count))
    words = np.asarray(jax.random.key_data(derive(key, step)))
    order = np.random.default_rng(words.tolist()).permutation(count)
    return sorted(int(i) for i in order[: config.families_per_step])


def families(config: MetaConfig, optimizer: LearnedOptimizer) -> list[TaskProblem]:
    """The inner problems of a run, one for each family."""
    kind = ValidatedProblem if config.judged == "valid" else TaskProblem
    return [
        kind(
            Parametrised(load(spec), config.parametrisation),
            optimizer,
            shortest=config.shortest,
            longest=config.longest,
            schedule=schedule(config),
            augmentation=Augmentation(config.disguise_weights, config.disguise_loss, config.disguise_rate),
        )
        for spec in config.tasks
    ]


def schedule(config: MetaConfig) -> Schedule:
    """The schedule of the inner learning rate."""
    return Schedule("cosine", 0.05) if config.schedule == "cosine" else Schedule("constant", 0.0)
