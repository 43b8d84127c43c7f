"""Trainings of rules on one task family, inside a worker process: the only place of an evaluation that imports jax.

Rules that the interpreter runs are data, so one compilation for a family serves all of them; every other rule is compiled once for
the family, its hyperparameters being data. Learning rates, schedules, instances and steps are data everywhere.

Letters: P items, B members of an item, E evaluations.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from discover.evaluate.protocol import Protocol
from discover.evaluate.trials import Answer, Request
from discover.scoring import optima
from search_space.encode import Encoded, encode, stack
from search_space.interpreter import batch_optimizer
from search_space.layout import Layout
from search_space.parse import parse
from search_space.program import Program, RuleError, RuleSet
from search_space.repertoire import ALL, Repertoire, repertoire
from search_space.training import evaluation_params, training_step
from search_space.use import optimizer
from tasks.batch import TaskBatch
from tasks.contracts import BatchOptimizer, Schedule, from_optax
from tasks.queries import Loss, LossOptimizer, Rule, from_rule
from tasks.registry import load
from tasks.rollout import rollout

ITEMS = 8
"""P: items of one call; places without work cost nothing."""
Compiled = Program | RuleSet


class Items(NamedTuple):
    """Work of one call. `rule` leaves [P, …]: an `Encoded`, or hyperparameters by name; i32, f32, bool [P, B]; bool[P], bool[P].

    Member b of item p trains on instance `instance[p, b]` of the pool with peak rate `rates[p, b]`, scheduled or not.
    """

    rule: Any
    instance: Any
    rates: Any
    scheduled: Any
    watch: Any
    wanted: Any


class _Switch(NamedTuple):
    """A multiplier of learning rates that is a schedule for some members and 1 for the others: f32[B]."""

    scheduled: jax.Array
    schedule: Schedule

    def value(self, step: jax.Array, steps: jax.Array) -> jax.Array:
        return jnp.where(self.scheduled, self.schedule.value(step, steps), 1.0)


@dataclass(frozen=True)
class Trainer:
    """Trains rules on a family for `steps` steps; instance i of the pool is one draw of the task, its weights and its minibatches.

    Instances 0 … tune_seeds − 1 are for tuning, the following `seeds` for the final figures: no draw serves both. Where `rules` holds
    the texts of all rules that will be measured, less is compiled.
    """

    task: str
    steps: int
    protocol: Protocol
    seed: int
    rules: tuple[str, ...] = ()

    def measure(self, rule: str, requests: Sequence[Request]) -> list[Answer]:
        """Train a rule (its text) as each request says; answers in order. Raises `RuleError` for a rule that cannot be trained here."""
        if self.rules and rule not in self.rules:
            raise ValueError("this rule is not among those that the trainer was made for")
        program = parse(rule)
        plain = interpreted(program)
        chunks = [(number, chunk) for number, request in enumerate(requests) for chunk in _chunks(request, self.protocol.members)]
        answers: list[list[Answer]] = [[] for _ in requests]
        for start in range(0, len(chunks), ITEMS):
            part = chunks[start : start + ITEMS]
            found = self._call(program, plain, [chunk for _, chunk in part])
            for (number, _), answer in zip(part, found, strict=True):
                answers[number].append(answer)
        return [Answer.join(parts) for parts in answers]

    def facts(self) -> dict[str, Any]:
        """`metric`: name and unit of the loss; `optimum`: the lowest possible one of each final draw."""
        pool = _pool(self.task, self.seed, self.protocol.tune_seeds + self.protocol.seeds)
        return {"metric": pool.task().metric, "optimum": optima(pool)[self.protocol.tune_seeds :].tolist()}

    def _call(self, program: Compiled, plain: bool, chunks: Sequence[Request]) -> list[Answer]:
        """At most P chunks of at most B members."""
        protocol, pool = self.protocol, _pool(self.task, self.seed, self.protocol.tune_seeds + self.protocol.seeds)
        padded = [*chunks, *[chunks[-1]] * (ITEMS - len(chunks))]
        items = Items(
            rule=_rules(program, plain, padded),
            instance=np.array([_full(c.instances, protocol.members) for c in padded], np.int32),
            rates=np.array([_full(c.rates, protocol.members) for c in padded], np.float32),
            scheduled=np.array([[c.scheduled] * protocol.members for c in padded]),
            watch=np.array([c.final for c in padded]),
            wanted=np.arange(ITEMS) < len(chunks),
        )
        schedule = Schedule("cosine", protocol.warmup)
        compiled = None if plain else program
        known = _repertoire(self.rules) if plain else ALL
        out = jax.device_get(_train(pool, items, jnp.asarray(self.steps, jnp.int32), compiled, known, schedule, protocol.evals))
        return [
            Answer(*(tuple(leaf[p, : len(chunk.rates)].tolist()) for leaf in (out["valid"], out["test"], out["initial"], out["curve"])))
            for p, chunk in enumerate(chunks)
        ]


def _chunks(request: Request, size: int) -> list[Request]:
    """The request in parts of at most `size` members."""
    count = len(request.rates)
    return [request._replace(rates=request.rates[i : i + size], instances=request.instances[i : i + size]) for i in range(0, count, size)]


def _full(values: Sequence[Any], size: int) -> list[Any]:
    """Padded to `size` by the last one."""
    return [*values, *[values[-1]] * (size - len(values))]


def interpreted(program: Compiled) -> bool:
    """Whether the interpreter runs the rule: it asks for nothing but a gradient, is evaluated at its weights and fits."""
    if isinstance(program, RuleSet) or program.plan or program.queries or program.view is not None:
        return False
    try:
        encode(program)
    except RuleError:
        return False
    return True


@lru_cache(maxsize=4)
def _repertoire(rules: tuple[str, ...]) -> Repertoire:
    """The instructions of those rules that the interpreter runs; all that there are where no rules are named."""
    programs = [program for program in map(parse, rules) if isinstance(program, Program) and interpreted(program)]
    return repertoire(map(encode, programs)) if rules else ALL


def _rules(program: Compiled, plain: bool, chunks: Sequence[Request]) -> Any:
    """What differs between the items, leaves [P, …]."""
    if plain:
        assert isinstance(program, Program)
        return stack([encode(program, hypers=dict(c.hypers)) for c in chunks])
    names = [name for name, _ in chunks[0].hypers]
    return {name: np.array([dict(c.hypers)[name] for c in chunks], np.float32) for name in names}


@lru_cache(maxsize=64)
def _pool(task: str, seed: int, count: int) -> TaskBatch:
    """`count` instances of a family, one seed each."""
    return TaskBatch.create(load(task), jax.random.key(seed), learning_rates=(0.0,), tasks=count)


@partial(jax.jit, static_argnames=("compiled", "known", "schedule", "evals"))
def _train(
    pool: TaskBatch, items: Items, steps: jax.Array, compiled: Compiled | None, known: Repertoire, schedule: Schedule, evals: int
) -> dict[str, jax.Array]:
    """Losses: valid, test and initial f32[P, B], curve f32[P, B, E]; zeros where no work is wanted."""
    layout = Layout.of(jax.eval_shape(pool.task().init, jax.random.key(0)))

    def run(item: Items) -> dict[str, jax.Array]:
        configs = jax.tree.map(lambda leaf: leaf[item.instance], pool.configs)
        batch = TaskBatch(pool.family, configs, pool.keys[item.instance], item.rates[:, None, None])
        multiplier = _Switch(item.scheduled, schedule)
        rule = _interpreter(layout, item.rule, known) if compiled is None else _compiled(compiled, item.rule)
        done = rollout(batch, rule, steps=steps, schedule=multiplier, evals=evals, splits=("valid", "test"), watch=item.watch)
        return {
            "valid": done.final["valid"].reshape(-1),
            "test": done.final["test"].reshape(-1),
            "initial": done.initial.reshape(-1),
            "curve": done.curve.reshape(-1, evals),
        }

    def one(item: Items) -> dict[str, jax.Array]:
        count = item.rates.shape[0]
        nothing = {name: jnp.zeros((count, evals) if name == "curve" else count) for name in ("valid", "test", "initial", "curve")}
        return jax.lax.cond(item.wanted, lambda: run(item), lambda: nothing)

    return jax.lax.map(one, jax.tree.map(jnp.asarray, items))


def _interpreter(layout: Layout, program: Encoded, known: Repertoire) -> BatchOptimizer:
    """One program as data."""
    return BatchOptimizer(*batch_optimizer(layout, jax.tree.map(lambda leaf: leaf[None], program), repertoire=known))


def _compiled(rule: Compiled, hypers: dict[str, Any]) -> BatchOptimizer | LossOptimizer:
    """One rule that is part of the compiled code, its hyperparameters traced; with a query plan or a view it needs the loss."""
    if isinstance(rule, RuleSet) or not (rule.plan or rule.queries or rule.view is not None):
        return from_optax(lambda rate: optimizer(rule, rate, **hypers))

    def make(rate: jax.Array) -> Rule:
        def step(loss: Loss, params: Any, state: Any) -> tuple[Any, Any]:
            params, state, _ = training_step(rule, rate, loss, **hypers).step(params, state)
            return params, state

        def view(params: Any, state: Any) -> Any:
            return evaluation_params(rule, state, params, learning_rate=rate, **hypers)

        return Rule(optimizer(rule, rate, **hypers).init, step, view)

    return from_rule(make)
