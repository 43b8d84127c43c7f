"""The work of an evaluation cut into jobs, and the function that does one in a worker process. Imports no jax until a worker starts."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from discover.evaluate.protocol import EvaluationConfig, NamedRule, TaskPlan
from discover.evaluate.trials import cells
from discover.worker import WRONG_USE, describe
from search_space.parse import parse
from search_space.program import Hyper, Program, RuleSet

if TYPE_CHECKING:
    from discover.evaluate.measure import Trainer

_worker: list[EvaluationConfig] = []


@dataclass(frozen=True, slots=True)
class Job:
    """Some rules on one task with all schedules: what one worker does at a time and one transaction commits."""

    number: int
    task: TaskPlan
    rules: tuple[NamedRule, ...]


def jobs(config: EvaluationConfig) -> list[Job]:
    """All jobs of a configuration: the first batch of rules on every task, then the second, …

    In this order no two workers compile a task's training at once, and the first jobs say how long every task takes. Expensive
    tasks come first, so that no worker is left with a long job at the end.
    """
    tasks = sorted(config.tasks, key=lambda task: -task.microseconds * task.steps)
    batches = [config.rules[i : i + config.batch] for i in range(0, len(config.rules), config.batch)]
    pairs = [(task, batch) for batch in batches for task in tasks]
    return [Job(number, task, batch) for number, (task, batch) in enumerate(pairs)]


def start_worker(config: dict[str, Any]) -> None:
    """Prepare this process to do jobs of one evaluation; `config` is an `EvaluationConfig` as JSON."""
    _worker[:] = [EvaluationConfig.from_json(config)]


def run_job(number: int) -> list[dict[str, Any]]:
    """Do a job: one JSON object for each of its rules × schedules (`trials.Outcome` and facts of the task), or one with `failed`."""
    from discover.evaluate.measure import Trainer

    config = _worker[0]
    job = jobs(config)[number]
    trainer = Trainer(job.task.spec, job.task.steps, config.protocol, config.seed, tuple(rule.text for rule in config.rules))
    return [cell for rule in job.rules for cell in _cells(config, trainer, job.task, rule)]


def _cells(config: EvaluationConfig, trainer: Trainer, task: TaskPlan, rule: NamedRule) -> list[dict[str, Any]]:
    """One rule on one task; an error of its training is a result, not the end of the run."""
    start = time.perf_counter()
    shared = {"rule": rule.name, "task": task.spec, **trainer.facts()}
    try:
        made = cells(config.protocol, hypers_of(rule.text), config.seed, lambda asked: trainer.measure(rule.text, asked))
    except (*WRONG_USE, MemoryError):
        raise
    except Exception as error:
        return [failed_cell(rule, task, schedule, describe(error)) for schedule in config.protocol.schedules]
    seconds = (time.perf_counter() - start) / len(made)
    pairs = zip(config.protocol.schedules, made, strict=True)
    return [{**shared, "schedule": schedule, "seconds": seconds, **cell.to_json()} for schedule, cell in pairs]


def failed_cell(rule: NamedRule, task: TaskPlan, schedule: str, reason: str) -> dict[str, Any]:
    """What is stored for a cell that could not be measured."""
    return {"rule": rule.name, "task": task.spec, "schedule": schedule, "failed": reason}


def hypers_of(text: str) -> tuple[Hyper, ...]:
    """The hyperparameters of a rule; those of a rule for each role in the order of its parts, each name once."""
    found: dict[str, Hyper] = {}
    for program in programs_of(text):
        for hyper in program.hypers:
            found.setdefault(hyper.name, hyper)
    return tuple(found.values())


def programs_of(text: str) -> tuple[Program, ...]:
    """A rule's programs: one, or one for each role."""
    rule = parse(text)
    return tuple(program for _, program in rule.parts) if isinstance(rule, RuleSet) else (rule,)
