"""Scores of programs by training, inside a worker process: the only place of a search that imports jax.

A job is a batch of programs × tasks × seeds × learning rates at one length. Programs, seeds, rates and length are data, so that one
compilation for each task and batch shape serves a whole run, racing included.

Letters: P programs, T task instances, S seeds for each, L learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discover.config import SearchConfig
from discover.jobs import Job, Measured
from discover.reading import CAP, log_loss, read
from search_space.encode import Encoded, encode, stack
from search_space.interpreter import batch_optimizer
from search_space.layout import Layout
from search_space.parse import parse_program
from search_space.program import RuleError
from tasks.batch import TaskBatch
from tasks.contracts import BatchOptimizer, Schedule, Split, TaskFamily
from tasks.registry import load
from tasks.rollout import rollout

_IDLE = "# rule-format: 1\ndef idle(w, g, lr):\n    return lr * g\n"

_worker: list[Scorer] = []


def start_worker(config: dict[str, Any]) -> None:
    """Prepare this process to score jobs of one search; `config` is a `SearchConfig` as JSON."""
    _worker[:] = [Scorer(SearchConfig.from_json(config))]


def score_job(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Score one job in a prepared worker: a `Job` in, one `Measured` for each of its programs out, both as JSON."""
    return [measured.to_json() for measured in _worker[0].score(Job.from_json(job))]


class Scorer:
    """Trains batches of programs on the tasks of a configuration."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config
        self.schedule = Schedule(config.schedule, config.warmup)

    def score(self, job: Job) -> list[Measured]:
        """Measure the programs of a job on its tasks; a program that cannot be encoded has the reason "too_large"."""
        programs = [_encoded(text) for text in job.programs]
        padded = [*programs, *[None] * (self.config.batch - len(programs))]
        stacked = stack([program or _filler() for program in padded])
        active = np.array([program is not None for program in padded])
        rates = _rates(job, len(padded))
        parts = [self._losses(task, stacked, active, rates[:, number], job) for number, task in enumerate(job.tasks)]
        weights = [self.config.weight(task) for task in job.tasks]
        return [
            _measured(job, weights, rates[i], [part.program(i) for part in parts]) if program is not None else Measured(reason="too_large")
            for i, program in enumerate(programs)
        ]

    def _losses(self, task: str, programs: Encoded, active: np.ndarray, rates: np.ndarray, job: Job) -> _Losses:
        """Losses of all programs on one family, rates [P, L]; rounds are of one size so that shapes stay the same."""
        sizes = (self.config.instances, self.config.seeds, rates.shape[1])
        found: list[tuple[np.ndarray, ...]] = []
        for number in range(job.rounds):
            batch, optimum = _round(_family(task), job.seed, job.stream, number, sizes)
            out = _train(batch, programs, active, rates, jnp.asarray(job.steps, jnp.int32), self.schedule, job.test, self.config.nest)
            valid = np.asarray(out["valid"])
            test = np.asarray(out["test"]) if job.test else valid
            found.append((valid, test, np.asarray(out["initial"])[active.argmax()], optimum))
        valid, test, initial, optima = zip(*found, strict=True)
        return _Losses(np.concatenate(valid, 1), np.concatenate(test, 1), np.concatenate(initial), np.concatenate(optima))


def _rates(job: Job, count: int) -> np.ndarray:
    """Learning rates f32[P, task, L]; places without a program have those of the grid."""
    factors = np.ones((count, len(job.tasks), 1))
    if job.centres:
        factors[: len(job.centres), :, 0] = job.centres
    return (factors * np.array(job.rates)).astype(np.float32)


@lru_cache(maxsize=64)
def _round(family: TaskFamily, seed: int, stream: int, number: int, sizes: tuple[int, int, int]) -> tuple[TaskBatch, np.ndarray]:
    """A round's own instances and seeds, sizes (T, S, L), and optima [T]; the stream keeps searches, halls and final scores apart."""
    instances, seeds, rates = sizes
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), number)
    batch = TaskBatch.create(family, key, learning_rates=np.zeros(rates), tasks=instances, seeds=seeds)
    return batch, optima(batch)


@dataclass(frozen=True)
class _Losses:
    """valid, test [P, T, S, L]; initial [T, S]; optimum [T]. T counts the instances of all rounds."""

    valid: np.ndarray
    test: np.ndarray
    initial: np.ndarray
    optimum: np.ndarray

    def program(self, index: int) -> _Losses:
        """The same for one program, without P."""
        return _Losses(self.valid[index], self.test[index], self.initial, self.optimum)


def _measured(job: Job, weights: Sequence[float], rates: np.ndarray, parts: Sequence[_Losses]) -> Measured:
    """The score of one program: weighted geometric mean over families of mean loss / initial loss, at one rate for each family."""
    logs, best, losses, profile = [], [], [], []
    for grid, part in zip(rates, parts, strict=True):
        mean = log_loss(part.valid.mean(axis=1), part.initial.mean(axis=1), part.optimum)
        profile += [float(x) for x in np.minimum(mean, math.log(CAP))]
        found = read(mean, job.reading)
        if found is None:
            return Measured(reason="diverged")
        logs.append(found.log)
        step = float(grid[-1] / grid[0]) ** (1.0 / max(1, len(grid) - 1))
        best.append(float(grid[found.point]) if job.reading == "best" else float(grid[0]) * step**found.place)
        losses.append(tuple(float(x) for x in part.test[:, :, found.point].ravel()))
    score = math.exp(sum(w * log for w, log in zip(weights, logs, strict=True)) / sum(weights))
    return Measured(score=score, rates=tuple(best), losses=tuple(losses), profile=tuple(profile))


@partial(jax.jit, static_argnames=("schedule", "test", "nest"))
def _train(
    batch: TaskBatch, programs: Encoded, active: jax.Array, rates: jax.Array, steps: jax.Array, schedule: Schedule, test: bool, nest: str
) -> dict[str, jax.Array]:
    """Losses of P programs: valid (and test) f32[P, T, S, L], initial f32[P, T, S]; what is not active (bool[P]) is not trained.

    `rates` f32[P, L] are the programs' own; those of `batch` are not used.
    """
    splits: tuple[Split, ...] = ("valid", "test") if test else ("valid",)
    layout = Layout.of(jax.eval_shape(batch.task().init, jax.random.key(0)))
    count = programs.result.shape[0]

    def run(some: Encoded, tasks: TaskBatch) -> dict[str, jax.Array]:
        done = rollout(tasks, BatchOptimizer(*batch_optimizer(layout, some)), steps=steps, schedule=schedule, evals=1, splits=splits)
        return {**done.final, "initial": done.initial}

    def one(item: tuple[Encoded, jax.Array, jax.Array]) -> dict[str, jax.Array]:
        program, wanted, grid = item
        alone = jax.tree.map(lambda leaf: leaf[None], program)
        mine = replace(batch, learning_rates=grid)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(run, alone, mine))
        return jax.lax.cond(wanted, lambda: run(alone, mine), lambda: nothing)

    if nest == "programs":
        return jax.lax.map(one, (jax.tree.map(jnp.asarray, programs), jnp.asarray(active), jnp.asarray(rates)))
    out = run(programs, _repeated(batch, count, jnp.asarray(rates)))
    return {name: leaf.reshape(count, -1, *leaf.shape[1:]) for name, leaf in out.items()}


def _repeated(batch: TaskBatch, count: int, rates: jax.Array) -> TaskBatch:
    """The batch `count` times over, one after the other along T, each with its own rates [count, L]."""
    configs = jax.tree.map(lambda leaf: jnp.tile(leaf, (count, *[1] * (leaf.ndim - 1))), batch.configs)
    tasks, seeds, length = batch.shape
    grid = jnp.broadcast_to(rates[:, None, None], (count, tasks, seeds, length)).reshape(count * tasks, seeds, length)
    return TaskBatch(batch.family, configs, jnp.tile(batch.keys, (count, 1)), grid)


def optima(batch: TaskBatch) -> np.ndarray:
    """The lowest possible loss of each task [T], 0 where it is not known."""
    known = [batch.task(t).optimum for t in range(batch.shape[0])]
    return np.array([0.0 if value is None else float(value) for value in known])


@lru_cache(maxsize=4096)
def _encoded(text: str) -> Encoded | None:
    """The program as arrays, None where the interpreter's fixed sizes do not hold it."""
    try:
        return encode(parse_program(text))
    except RuleError:
        return None


def _filler() -> Encoded:
    """What fills a batch up to its fixed size."""
    filler = _encoded(_IDLE)
    assert filler is not None
    return filler


@lru_cache(maxsize=64)
def _family(spec: str) -> TaskFamily:
    return load(spec)
