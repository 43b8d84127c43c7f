"""Scores of programs by training, inside a worker process: the only place of a search that imports jax.

A job is a batch of programs × tasks × seeds × learning rates at one length. Programs, seeds, rates and length are data, so that one
compilation for each task and batch shape serves a whole run, racing included.

Letters: P programs, T task instances, S seeds, L learning rates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from discover.config import SearchConfig
from discover.jobs import Job, Measured
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

LOSS_FLOOR = 1e-9
"""Losses (above the known optimum) below this share of the initial one count as this share."""

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
        parts = [self._losses(task, stacked, active, job) for task in job.tasks]
        return [
            _measured(job, [part.program(i) for part in parts]) if program is not None else Measured(reason="too_large")
            for i, program in enumerate(programs)
        ]

    def _losses(self, task: str, programs: Encoded, active: np.ndarray, job: Job) -> _Losses:
        """Losses of all programs on one family, seeds in rounds of the configuration's size so that shapes stay the same."""
        family, rounds = _family(task), math.ceil(job.seeds / self.config.seeds)
        sizes = (self.config.instances, self.config.seeds)
        batches = [_batch(family, job.seed, job.stream, job.rates, (*sizes, number)) for number in range(rounds)]
        valid, test, initial = [], [], []
        for batch in batches:
            out = _train(batch, programs, active, jnp.asarray(job.steps, jnp.int32), self.schedule, job.test, self.config.nest)
            valid.append(np.asarray(out["valid"]))
            test.append(np.asarray(out["test"]) if job.test else valid[-1])
            initial.append(np.asarray(out["initial"])[active.argmax()])
        keep = slice(0, job.seeds)
        joined = [np.concatenate(parts, axis=axis) for parts, axis in ((valid, 2), (test, 2), (initial, 1))]
        return _Losses(joined[0][:, :, keep], joined[1][:, :, keep], joined[2][:, keep], _optimum(batches[0]))


@lru_cache(maxsize=64)
def _batch(family: TaskFamily, seed: int, stream: int, rates: tuple[float, ...], sizes: tuple[int, int, int]) -> TaskBatch:
    """Instances [T] and a round of seeds [S], sizes (T, S, round); the stream keeps searches, halls and final scores apart."""
    instances, seeds, number = sizes
    key = jax.random.fold_in(jax.random.key(seed), stream)
    batch = TaskBatch.create(family, key, learning_rates=rates, tasks=instances, seeds=seeds)
    if number == 0:
        return batch
    keys = jax.vmap(jax.vmap(lambda k: jax.random.fold_in(k, number)))(batch.keys)
    return TaskBatch(family, batch.configs, keys, batch.learning_rates)


@dataclass(frozen=True)
class _Losses:
    """valid, test [P, T, S, L]; initial [T, S]; optimum [T]."""

    valid: np.ndarray
    test: np.ndarray
    initial: np.ndarray
    optimum: np.ndarray

    def program(self, index: int) -> _Losses:
        """The same for one program, without P."""
        return _Losses(self.valid[index], self.test[index], self.initial, self.optimum)


def _measured(job: Job, parts: Sequence[_Losses]) -> Measured:
    """The score of one program: geometric mean over families and instances of loss / initial loss at the best rate."""
    logs, rates, tests = [], [], []
    for part in parts:
        mean = part.valid.mean(axis=1)  # [T, L], over seeds; +inf where any seed failed
        best = mean.argmin(axis=1)
        for t, rate in enumerate(best):
            if not np.isfinite(mean[t, rate]):
                return Measured(reason="diverged")
            start = float(part.initial[t].mean() - part.optimum[t])
            logs.append(math.log(max(float(mean[t, rate] - part.optimum[t]) / start, LOSS_FLOOR)))
            rates.append(float(job.rates[rate]))
            tests.append([float(x) for x in part.test[t, :, rate]])
    return Measured(score=math.exp(sum(logs) / len(logs)), rates=tuple(rates), losses=tuple(tuple(x) for x in tests))


@partial(jax.jit, static_argnames=("schedule", "test", "nest"))
def _train(
    batch: TaskBatch, programs: Encoded, active: jax.Array, steps: jax.Array, schedule: Schedule, test: bool, nest: str
) -> dict[str, jax.Array]:
    """Losses of P programs: valid (and test) f32[P, T, S, L], initial f32[P, T, S]; what is not active (bool[P]) is not trained."""
    splits: tuple[Split, ...] = ("valid", "test") if test else ("valid",)
    layout = Layout.of(jax.eval_shape(batch.task().init, jax.random.key(0)))
    count = programs.result.shape[0]

    def run(some: Encoded, tasks: TaskBatch) -> dict[str, jax.Array]:
        done = rollout(tasks, BatchOptimizer(*batch_optimizer(layout, some)), steps=steps, schedule=schedule, evals=1, splits=splits)
        return {**done.final, "initial": done.initial}

    def one(item: tuple[Encoded, jax.Array]) -> dict[str, jax.Array]:
        program, wanted = item
        alone = jax.tree.map(lambda leaf: leaf[None], program)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(run, alone, batch))
        return jax.lax.cond(wanted, lambda: run(alone, batch), lambda: nothing)

    if nest == "programs":
        return jax.lax.map(one, (jax.tree.map(jnp.asarray, programs), jnp.asarray(active)))
    out = run(programs, _repeated(batch, count))
    return {name: leaf.reshape(count, -1, *leaf.shape[1:]) for name, leaf in out.items()}


def _repeated(batch: TaskBatch, count: int) -> TaskBatch:
    """The batch `count` times over, one after the other along T."""
    configs = jax.tree.map(lambda leaf: jnp.tile(leaf, (count, *[1] * (leaf.ndim - 1))), batch.configs)
    return TaskBatch(batch.family, configs, jnp.tile(batch.keys, (count, 1)), batch.learning_rates)


def _optimum(batch: TaskBatch) -> np.ndarray:
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
