"""Any evosax strategy as the optimizer of theta: it asks for a population, every member trains on the same episodes, it is told the losses.

Needs no gradient at all, so that it also optimizes what evolution strategies on theta find hard; costs whole episodes for each member.
Letter: M members of the population.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from meta_train.errors import LearnedOptimizerError
from meta_train.problem import Episode, InnerProblem, PyTree, unroll
from tasks.streams import derive, normal


def names() -> list[str]:
    """The strategies that evosax can make for any theta from a size and a deviation alone."""
    from evosax import algorithms

    return sorted(name for name in dir(algorithms) if name[0].isupper() and _makes(getattr(algorithms, name)))


def check(name: str) -> None:
    """Raise `LearnedOptimizerError` for a strategy that there is not."""
    if name not in names():
        raise LearnedOptimizerError(f"unknown evosax strategy {name!r}, allowed: {', '.join(names())}")


def strategy(name: str, sigma: float) -> Callable[..., Any]:
    """make(population_size, solution) -> the strategy of that name, with this initial deviation where it takes one when it is made."""
    from evosax import algorithms

    check(name)
    kind = getattr(algorithms, name)
    if "std_schedule" in inspect.signature(kind).parameters:
        return lambda population_size, solution: kind(population_size, solution, std_schedule=lambda _: sigma)
    return kind


def _makes(kind: Any) -> bool:
    """Whether a class is a strategy without other required arguments or weights of its own to be loaded."""
    if not hasattr(kind, "ask"):
        return False
    parameters = inspect.signature(kind).parameters
    required = {name for name, parameter in parameters.items() if parameter.default is inspect.Parameter.empty}
    return required == {"population_size", "solution"} and not {"params_path", "num_generations"} & set(parameters)


class BlackBox:
    """theta by ask and tell; `make(population_size, solution) -> evosax strategy`, such as `evosax.algorithms.CMA_ES`.

    `sigma` is the initial deviation of strategies that have one among their parameters; others take it in `make`.
    """

    def __init__(self, make: Callable[..., Any], theta: PyTree, population: int, sigma: float) -> None:
        self._sigma = sigma
        self._strategy = make(population_size=population, solution=theta)
        parameters = self._strategy.default_params
        self._parameters = parameters.replace(std_init=sigma) if hasattr(parameters, "std_init") else parameters

    def init(self, theta: PyTree, key: jax.Array) -> PyTree:
        """The strategy's state around theta; a population-based one starts from it and copies with noise of deviation sigma."""
        if hasattr(self._strategy, "get_mean"):
            return self._strategy.init(key, theta, self._parameters)
        size = self._strategy.population_size
        leaves, structure = jax.tree.flatten(theta)
        noisy = [(leaf + self._sigma * normal(derive(key, i), (size, *leaf.shape))).at[0].set(leaf) for i, leaf in enumerate(leaves)]
        return self._strategy.init(key, structure.unflatten(noisy), jnp.full(size, jnp.inf), self._parameters)

    def ask(self, state: PyTree, key: jax.Array) -> tuple[PyTree, PyTree]:
        """The next population, leaves [M, ...], and the state."""
        return self._strategy.ask(key, state, self._parameters)

    def tell(self, state: PyTree, population: PyTree, losses: jax.Array, key: jax.Array) -> PyTree:
        """The state that knows these losses, f32[M]; one that is not finite counts as the worst of the finite ones."""
        finite = jnp.isfinite(losses)
        worst = jnp.max(jnp.where(finite, losses, -jnp.inf), initial=-jnp.inf)
        fitness = jnp.where(finite, losses, jnp.where(jnp.any(finite), worst, 0.0))
        return self._strategy.tell(key, population, fitness, state, self._parameters)[0]

    def theta(self, state: PyTree) -> PyTree:
        """The best theta so far, as the strategy sees it: its mean where it has one, else its best member."""
        if hasattr(self._strategy, "get_mean"):
            return self._strategy.get_mean(state)
        return self._strategy.get_best_solution(state)


def population_losses(
    problem: InnerProblem, population: PyTree, key: jax.Array, limit: jax.Array, episodes: int
) -> tuple[jax.Array, jax.Array]:
    """Mean loss of an inner step for each member over the same episodes of at most `limit` steps, f32[M], and inner steps taken, i32[]."""
    numbers = jnp.arange(episodes, dtype=jnp.int32)
    drawn = jax.vmap(lambda i: problem.episode(derive(key, i), limit))(numbers)
    longest = jnp.max(drawn.length)

    def loss(theta: PyTree, episode: Episode) -> jax.Array:
        start = problem.start(theta, episode)
        return unroll(problem, theta, episode, start, jnp.int32(0), longest)[1] / episode.length

    losses = jax.vmap(lambda theta: jnp.mean(jax.vmap(lambda episode: loss(theta, episode))(drawn)))(population)
    return losses, jnp.asarray(losses.size * episodes, jnp.int32) * longest
