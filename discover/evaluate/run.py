"""An evaluation from a configuration to a finished run folder: jobs on worker processes, each committed as it ends; resumable.

Nothing depends on the order in which jobs end or on the number of workers, so a run that was killed continues to the same table.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from discover.cores import visible_cores
from discover.errors import JobError, UserError
from discover.evaluate.jobs import Job, failed_cell, jobs
from discover.evaluate.protocol import EvaluationConfig, TaskPlan
from discover.evaluate.table import Cell, table
from discover.events import Events, Progress, ignore
from discover.executor import Executor, Outcome, ProcessExecutor
from discover.store import RunStore

KINDS = ("evaluate", "leaderboard")
WORKER = "discover.evaluate.jobs:start_worker"
JOB = "discover.evaluate.jobs:run_job"
COMPILATION = 30.0
"""Seconds of compilation and tracing for each task, in the first estimate."""


def run(
    config: EvaluationConfig, folder: str | Path, kind: str = "evaluate", events: Events = ignore, workers: int | None = None
) -> list[Cell]:
    """Make a run in `folder` and measure every cell. Raises UserError for wrong use, JobError where the job cannot go on."""
    with RunStore.create(folder, kind, config.to_json()) as store:
        return _complete(config, store, events, workers)


def resume(folder: str | Path, events: Events = ignore, workers: int | None = None) -> list[Cell]:
    """Continue a run to the same table as if it had not been stopped; a finished run is left as it is."""
    with RunStore.open(folder, readonly=True) as store:
        info = store.info()
        if info.kind not in KINDS:
            raise UserError(f"{folder} is a '{info.kind}' run, not an evaluation")
        if info.status == "finished":
            return cells_of(store)
    with RunStore.open(folder) as store:
        store.set_status("running")
        return _complete(EvaluationConfig.from_json(store.config()), store, events, workers)


def cells_of(store: RunStore) -> list[Cell]:
    """What is measured so far."""
    raws = [raw for _, result in store.jobs().values() for raw in result]
    return table(EvaluationConfig.from_json(store.config()), raws)


def seconds_of_work(store: RunStore) -> float:
    """Worker seconds of all jobs done."""
    return sum(seconds for seconds, _ in store.jobs().values())


def estimate_seconds(config: EvaluationConfig, workers: int) -> float:
    """Rough wall seconds of a run, from the stored time of a step of each task."""
    return (sum(len(config.rules) * _rule_seconds(config, task) for task in config.tasks) + COMPILATION * len(config.tasks)) / workers


def _rule_seconds(config: EvaluationConfig, task: TaskPlan) -> float:
    """Rough seconds of one rule on one task, all schedules."""
    return len(config.protocol.schedules) * config.protocol.trainings * task.steps * task.microseconds * 1e-6


def _complete(config: EvaluationConfig, store: RunStore, events: Events, workers: int | None) -> list[Cell]:
    with ProcessExecutor(workers or len(visible_cores()), WORKER, config.to_json()) as executor:
        perform(config, store, executor, events)
    store.finish("finished", {"seconds": seconds_of_work(store)})
    return cells_of(store)


def perform(config: EvaluationConfig, store: RunStore, executor: Executor, events: Events = ignore) -> None:
    """Do and commit the jobs that are not done yet."""
    done = {number: seconds for number, (seconds, _) in store.jobs().items()}
    left = [job for job in jobs(config) if job.number not in done]
    progress = _Left(config, left, done, executor.workers)

    def on_done(index: int, outcome: Outcome) -> None:
        job = left[index]
        store.commit_job(job.number, outcome.seconds, _result(config, job, outcome))
        progress.add(job, outcome.seconds)
        events(progress.event())

    events(progress.event())
    executor.map(JOB, [job.number for job in left], on_done)


def _result(config: EvaluationConfig, job: Job, outcome: Outcome) -> list[dict[str, Any]]:
    if outcome.reason == "ok":
        return outcome.value
    if outcome.reason == "error":
        raise JobError(f"{job.task.spec}: {outcome.message}")
    schedules = config.protocol.schedules
    return [failed_cell(rule, job.task, s, f"{outcome.reason}: {outcome.message}") for rule in job.rules for s in schedules]


class _Left:
    """How long the rest takes: the seconds of each task's last job where it had one, else the stored time of its steps."""

    def __init__(self, config: EvaluationConfig, left: list[Job], done: Mapping[int, float], workers: int) -> None:
        self.config, self.workers = config, workers
        self.open = {job.number: job for job in left}
        self.total = len(left) + len(done)
        self.seconds: dict[str, float] = {}
        self.note = ""
        self.began = time.monotonic()
        for job in jobs(config):
            if job.number in done:
                self.seconds[job.task.spec] = done[job.number] / len(job.rules)

    def add(self, job: Job, seconds: float) -> None:
        """A job ended."""
        del self.open[job.number]
        self.seconds[job.task.spec] = seconds / len(job.rules)
        self.note = f"{job.task.spec}: {', '.join(rule.name for rule in job.rules)}"

    def event(self) -> Progress:
        """Where the run stands."""
        return Progress("cells", self.total - len(self.open), self.total, "jobs", self._seconds_left(), None, self.note)

    def _seconds_left(self) -> float:
        total = 0.0
        for job in self.open.values():
            total += len(job.rules) * self.seconds.get(job.task.spec, _rule_seconds(self.config, job.task))
        return total / self.workers
