"""The end of a search: hall of fame, audit of the filters, and the table that sets the best rule beside tuned known ones.

Everyone gets the same number of tuning trials: `final_trials` draws of its hyperparameters (the first are its defaults), each with its own
shifted grid of learning rates. Validation losses choose, on draws of their own; test losses on further fresh draws are reported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from random import Random
from typing import Any

from discover.audit import audit_filters
from discover.config import SearchConfig
from discover.events import Events, Progress, ignore
from discover.genome import from_program, to_program, with_hypers
from discover.hall import grid_step, hall_of_fame, shifted
from discover.interval import student_interval
from discover.jobs import FINAL_STREAM, TUNE_STREAM, Job, Measured
from discover.subjects import Subject
from discover.trainer import Trainer
from discover.variants import draw
from search_space.printer import to_text
from search_space.program import Hyper, Program
from search_space.use import load

PHASE = "final scores"


@dataclass(frozen=True, slots=True)
class Row:
    """One rule on one task: mean test loss with a 95 % interval over `seeds` draws; `searched` says whether the search trained on it."""

    rule: str
    task: str
    searched: bool
    mean: float | None
    low: float | None
    high: float | None
    seeds: int
    rate: float | None
    hypers: dict[str, float]
    trials: int
    text: str


def finish(
    trainer: Trainer, subjects: Sequence[Subject], proposed: Sequence[int], illegal: Mapping[str, int], events: Events = ignore
) -> dict[str, Any]:
    """The stored result of a search: hall, audit, table, counts of illegal draws."""
    config = trainer.config
    steps = 1 + len(config.tasks) + len(config.held_out)

    def report(done: int, note: str) -> None:
        events(Progress(PHASE, done, steps, "steps", None, None, note))

    report(0, "hall of fame on fresh draws")
    hall = hall_of_fame(trainer, subjects)
    rules = {"found": hall[0].subject.program} if hall and math.isfinite(hall[0].fresh_score) else {}
    rules |= {name: _baseline(name) for name in config.baselines}
    table: list[Row] = []
    for number, task in enumerate((*config.tasks, *config.held_out)):
        report(number + 1, f"tuning on {task}")
        table += compare(trainer, rules, task, searched=task in config.tasks)
    report(steps, "")
    return {
        "hall": [hero.to_json() for hero in hall],
        "table": [asdict(row) for row in table],
        "audit": [asdict(row) for row in audit_filters(subjects, proposed)],
        "illegal_draws": dict(illegal),
    }


def compare(trainer: Trainer, rules: dict[str, Program], task: str, *, searched: bool) -> list[Row]:
    """Tune every rule on a task with equal trials, then report test losses on fresh draws."""
    config = trainer.config
    job = replace(trainer.job(rounds=config.tune_rounds), tasks=(task,), test=True, stream=TUNE_STREAM, reading="best")
    tuned = [_Tuned(math.inf, program, config.rates[0]) for program in rules.values()]
    for trial in range(config.final_trials):
        programs = [_variant(program, config.seed, trial) for program in rules.values()]
        for grid in coarse_grids(config, trial):
            results = trainer.measure([to_text(p) for p in programs], replace(job, rates=grid))
            tuned = [_better(old, p, m) for old, p, m in zip(tuned, programs, results, strict=True)]
    return [
        _final(trainer, name, best, replace(job, stream=FINAL_STREAM, rounds=config.final_rounds), searched)
        for name, best in zip(rules, tuned, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Tuned:
    score: float
    program: Program
    rate: float


def _better(old: _Tuned, program: Program, measured: Measured) -> _Tuned:
    if measured.score is None or measured.score >= old.score:
        return old
    return _Tuned(measured.score, program, measured.rates[0])


def coarse_grids(config: SearchConfig, trial: int) -> list[tuple[float, ...]]:
    """At least `final_rates` rates around the search's grid, cut into grids of its length, shifted by a share of a step for each trial."""
    rates, step = config.rates, grid_step(config.rates)
    parts = max(1, math.ceil(config.final_rates / len(rates)))
    low = min(rates) / step ** ((parts - 1) * len(rates) // 2)
    span = [low * step**i for i in range(parts * len(rates))]
    share = trial / config.final_trials
    return [shifted(span[i : i + len(rates)], share) for i in range(0, len(span), len(rates))]


def _final(trainer: Trainer, name: str, best: _Tuned, job: Job, searched: bool) -> Row:
    """Test losses at rates close to the tuned one (validation on the same draws chooses among them)."""
    config = trainer.config
    count = len(config.rates)
    step = grid_step(config.rates) ** (1 / max(2, config.final_trials))
    rates = tuple(best.rate * step ** (i - count // 2) for i in range(count))
    measured = trainer.measure([to_text(best.program)], replace(job, rates=rates))[0]
    mean, low, high = _interval(measured)
    draws = job.rounds * config.instances * config.seeds
    hypers = {hyper.name: hyper.default for hyper in best.program.hypers}
    trials = config.final_trials * math.ceil(config.final_rates / count) * count + count
    rate = measured.rates[0] if measured.rates else None
    text = to_text(best.program)
    return Row(name, job.tasks[0], searched, mean, low, high, draws, rate, hypers, trials, text)


def _interval(measured: Measured) -> tuple[float | None, float | None, float | None]:
    """Mean test loss and Student's 95 % interval over draws; None where the rule failed."""
    losses = measured.losses[0] if measured.score is not None else ()
    if not losses or not all(math.isfinite(x) for x in losses):
        return None, None, None
    return student_interval(losses)


def _variant(program: Program, seed: int, trial: int) -> Program:
    """The rule with hyperparameters drawn for a trial; trial 0 has the defaults."""
    if trial == 0 or not program.hypers:
        return program
    rng = Random(f"{seed}:tune:{trial}")
    genome = from_program(program)
    return to_program(with_hypers(genome, {hyper.name: _draw(hyper, rng) for hyper in genome.hypers}))


def _draw(hyper: Hyper, rng: Random) -> float:
    """A value from the prior, or the default: equally likely."""
    return hyper.default if rng.random() < 0.5 else draw(hyper, rng)


def _baseline(name: str) -> Program:
    program = load(name)
    assert isinstance(program, Program), f"{name} has one rule for each role"
    return program
