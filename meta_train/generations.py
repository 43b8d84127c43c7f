"""Outer steps by an evosax strategy: a generation for each, judged on one episode of each family whose turn it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meta_train import blackbox
from meta_train.config import MetaConfig
from meta_train.contracts import LearnedOptimizer, OuterStep
from meta_train.mixture import families, longest, turn, unsound
from meta_train.problem import PyTree, finite
from tasks.streams import derive

_CHOICE, _EPISODES, _ASK, _TELL, _BEGIN = range(5)


class Generations:
    """A strategy and its population, twice as many members as the configuration has particles, which are antithetic pairs elsewhere."""

    def __init__(self, config: MetaConfig, optimizer: LearnedOptimizer, theta: PyTree, key: jax.Array) -> None:
        self._config, self._key = config, key
        make = blackbox.strategy(config.strategy or "", config.sigma)
        self._box = blackbox.BlackBox(make, theta, 2 * config.particles, config.sigma)
        self._ask, self._tell, self._mean = jax.jit(self._box.ask), jax.jit(self._box.tell), jax.jit(self._box.theta)
        self._problems = families(config, optimizer)
        self._losses = [jax.jit(partial(blackbox.population_losses, problem, episodes=1)) for problem in self._problems]
        self._seen: set[int] = set()
        self.skipped = 0
        self.back_to(theta)

    @property
    def theta(self) -> PyTree:
        """The strategy's mean, or its best member where it has none."""
        return self._mean(self._state)

    @property
    def arrays(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"strategy": self._state, "skipped": jnp.int32(self.skipped)}

    def restore(self, arrays: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self._state, self.skipped = arrays["strategy"], int(arrays["skipped"])

    def step(self, number: int) -> OuterStep:
        """Generation `number`; it is not told where no member has a finite loss or the strategy would lose itself."""
        chosen = turn(self._config, derive(self._key, _CHOICE), number)
        compiled = self._seen.issuperset(chosen)
        population, asked = self._ask(self._state, derive(derive(self._key, _ASK), number))
        limit, total, steps = jnp.int32(longest(self._config, number)), jnp.zeros(()), 0
        for family in chosen:
            key = derive(derive(derive(self._key, _EPISODES), family), number)
            if family not in self._seen:
                self._require_sound(family, population, key, limit)
                self._seen.add(family)
            losses, taken = self._losses[family](population, key, limit)
            total, steps = total + losses / len(chosen), steps + int(taken)
        fitness = np.asarray(total)
        told = self._tell(asked, population, total, derive(derive(self._key, _TELL), number))
        if np.isfinite(fitness).any() and bool(finite(self._mean(told))):
            self._state = told
        else:
            self.skipped += 1
        sound = fitness[np.isfinite(fitness)]
        return OuterStep(float(sound.mean()) if sound.size else float("nan"), steps, compiled)

    def back_to(self, theta: PyTree) -> None:
        """Begin again around this theta."""
        self._state = self._box.init(theta, derive(self._key, _BEGIN))

    def _require_sound(self, family: int, population: PyTree, key: jax.Array, limit: jax.Array) -> None:
        """Raise for a family whose networks have no finite loss before any training."""
        problem, one = self._problems[family], jax.tree.map(lambda leaf: leaf[0], population)
        start = jax.jit(lambda theta: problem.start(theta, problem.episode(key, limit)).first)
        if not np.isfinite(np.asarray(start(one))):
            raise unsound(self._config.tasks[family])
