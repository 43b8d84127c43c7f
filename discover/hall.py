"""The hall of fame: the best distinct rules of a search, scored again on fresh seeds; and the Pareto front as CSV during the run."""

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
    """A rule of the hall: its score on the seeds that selected it and on fresh ones (lower is better)."""

    subject: Subject
    fresh_score: float

    def to_json(self) -> dict[str, Any]:
        """A row of the stored result."""
        s = self.subject
        return {
            "id": s.id,
            "rule": to_text(s.program),
            "score": s.score,
            "fresh_score": self.fresh_score if math.isfinite(self.fresh_score) else None,
            "state_bytes_per_param": s.state_bytes,
            "cost": s.cost,
        }


def hall_of_fame(trainer: Trainer, subjects: Sequence[Subject], on_done: Done | None = None) -> list[Hero]:
    """The best rules by search score, ordered by their score on fresh seeds and a grid of twice as many rates."""
    config = trainer.config
    scored = [(s.score, s.id, s) for s in subjects if s.status == TRAINED and s.score is not None]
    best = [s for _, _, s in sorted(scored)[: config.hall]]
    job = replace(trainer.job(), seeds=config.hall_seeds, stream=HALL_STREAM)
    texts = [to_text(s.program) for s in best]
    grids = (config.rates, shifted(config.rates, 0.5))
    rounds = [trainer.measure(texts, replace(job, rates=grid), on_done) for grid in grids]
    heroes = []
    for subject, results in zip(best, zip(*rounds, strict=True), strict=True):
        heroes.append(Hero(subject, min((m.score for m in results if m.score is not None), default=math.inf)))
    return sorted(heroes, key=lambda hero: (hero.fresh_score, hero.subject.id))


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
