"""Any evosax strategy as the optimizer of theta: it asks for a population, every member trains on the same episodes, it is told the losses.

Needs no gradient at all, so that it also optimizes what evolution strategies on theta find hard; costs whole episodes for each member.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from meta_train.problem import InnerProblem, PyTree, unroll
from tasks.streams import derive, normal

ASK, EPISODES, TELL = 0, 1, 2


class Outcome(NamedTuple):
    """One generation."""

    loss: jax.Array  # f32[], mean over the population of the mean loss of a step
    best: jax.Array  # f32[], the lowest of the population
    inner_steps: jax.Array  # i32[]


class BlackBox:
    """theta by ask and tell; `make(population_size, solution) -> evosax strategy`, such as `evosax.algorithms.CMA_ES`.

    The loss of a member is the mean over `episodes` episodes, the same ones for all members of a generation; a member whose loss is not
    finite counts as the worst of the finite ones. `sigma` is the initial deviation of strategies that have one among their parameters;
    others take it in `make`.
    """

    def __init__(
        self, problem: InnerProblem, make: Callable[..., Any], theta: PyTree, population: int, episodes: int, sigma: float
    ) -> None:
        self._problem, self._episodes, self._sigma = problem, episodes, sigma
        self._strategy = make(population_size=population, solution=theta)
        parameters = self._strategy.default_params
        self._parameters = parameters.replace(std_init=sigma) if hasattr(parameters, "std_init") else parameters

    def init(self, theta: PyTree, key: jax.Array) -> PyTree:
        """The strategy's state around theta; a population-based one starts from copies of it with noise of deviation sigma."""
        if hasattr(self._strategy, "get_mean"):
            return self._strategy.init(key, theta, self._parameters)
        size = self._strategy.population_size
        leaves, structure = jax.tree.flatten(theta)
        noisy = [leaf + self._sigma * normal(derive(key, i), (size, *leaf.shape)) for i, leaf in enumerate(leaves)]
        return self._strategy.init(key, structure.unflatten(noisy), jnp.full(size, jnp.inf), self._parameters)

    def generation(self, state: PyTree, key: jax.Array, limit: jax.Array) -> tuple[PyTree, Outcome]:
        """Ask, train everyone on episodes of at most `limit` steps, tell."""
        population, state = self._strategy.ask(derive(key, ASK), state, self._parameters)
        numbers = jnp.arange(self._episodes, dtype=jnp.int32)
        episodes = jax.vmap(lambda i: self._problem.episode(derive(derive(key, EPISODES), i), limit))(numbers)
        longest = jnp.max(episodes.length)

        def loss(theta: PyTree, episode: Any) -> jax.Array:
            start = self._problem.start(theta, episode)
            return unroll(self._problem, theta, episode, start, jnp.int32(0), longest)[1] / episode.length

        losses = jax.vmap(lambda theta: jnp.mean(jax.vmap(lambda episode: loss(theta, episode))(episodes)))(population)
        worst = jnp.max(jnp.where(jnp.isfinite(losses), losses, -jnp.inf))
        fitness = jnp.where(jnp.isfinite(losses), losses, worst)
        state, _ = self._strategy.tell(derive(key, TELL), population, fitness, state, self._parameters)
        steps = jnp.asarray(losses.size * self._episodes, jnp.int32) * longest
        return state, Outcome(jnp.mean(fitness), jnp.min(fitness), steps)

    def theta(self, state: PyTree) -> PyTree:
        """The best theta so far, as the strategy sees it: its mean where it has one, else its best member."""
        if hasattr(self._strategy, "get_mean"):
            return self._strategy.get_mean(state)
        return self._strategy.get_best_solution(state)
