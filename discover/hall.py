"""The hall of fame: the best distinct rules of a search, scored again on fresh draws; and the Pareto front as CSV during the run."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from discover.atomic import write_text_atomic
from discover.jobs import HALL_STREAM
from discover.schema import TRAINED
from discover.store import RunStore
from discover.subjects import Subject
from discover.summary import pareto_front
from discover.trainer import Done, Trainer
from search_space.parse import parse_program
from search_space.printer import to_text

FRONT_FILE = "front.csv"
BEST_FILE = "best.rule"
COLUMNS = ("score", "state_bytes_per_param", "flops_per_param", "generation", "id", "rule")


@dataclass(frozen=True, slots=True)
class Hero:
    """A rule of the hall: its score on the draws that selected it and on fresh ones (lower is better)."""

    subject: Subject
    fresh_score: float

    def to_json(self) -> dict[str, Any]:
        """A row of the stored result."""
        s = self.subject
        return {
            "id": s.id,
            "origin": s.origin,
            "rule": to_text(s.program),
            "score": s.score,
            "fresh_score": self.fresh_score if math.isfinite(self.fresh_score) else None,
            "state_bytes_per_param": s.state_bytes,
            "cost": s.cost,
        }


def hall_of_fame(trainer: Trainer, subjects: Sequence[Subject], on_done: Done | None = None) -> list[Hero]:
    """The best distinct rules by search score and the start rules, ordered by their score on fresh draws, tasks for checks included.

    So the first is never worse than a start rule there; where it is one, nothing better was found.
    """
    config = trainer.config
    best = finalists(subjects, config.hall)
    like = replace(trainer.job(rounds=config.hall_rounds), tasks=(*config.tasks, *config.checks), stream=HALL_STREAM)
    results = trainer.measure_finely([to_text(s.program) for s in best], like)
    heroes = [Hero(s, math.inf if m.score is None else m.score) for s, m in zip(best, results, strict=True)]
    return sorted(heroes, key=lambda hero: (hero.fresh_score, hero.subject.id))


def finalists(subjects: Sequence[Subject], count: int) -> list[Subject]:
    """The best `count` by search score, one for each `real_key`, and every start rule that could be trained."""
    ordered = sorted((s.score, s.id, s) for s in subjects if s.status == TRAINED and s.score is not None)
    chosen: dict[bytes, Subject] = {}
    for _, _, subject in ordered:
        chosen.setdefault(subject.real or subject.exact, subject)
    best = list(chosen.values())[:count]
    return best + [s for _, _, s in ordered if s.origin == "start" and s not in best]


def grid_step(rates: Sequence[float]) -> float:
    """The factor between neighbours of a grid of rates; 3 where there is one rate only."""
    return (max(rates) / min(rates)) ** (1 / (len(rates) - 1)) if len(rates) > 1 else 3.0


def shifted(rates: Sequence[float], share: float) -> tuple[float, ...]:
    """The grid moved up by a share of its step."""
    factor = grid_step(rates) ** share
    return tuple(rate * factor for rate in rates)


def write_front(store: RunStore) -> None:
    """Replace `front.csv` by the rules that no other beats in score, state bytes and cost at once. Raises JobError."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for c in pareto_front(store.candidates(status=TRAINED)):
        writer.writerow((c.score, c.state_bytes, c.cost, c.generation, c.id, c.text))
    write_text_atomic(store.folder / FRONT_FILE, text.getvalue())


def write_best(store: RunStore, hall: Sequence[dict[str, Any]]) -> None:
    """Write the best rule as `best.rule`, named `found`, for `search_space.optimizer` or another search. Raises JobError."""
    if hall:
        program = replace(parse_program(hall[0]["rule"]), name="found")
        write_text_atomic(store.folder / BEST_FILE, to_text(program))
