"""From cells to the table that rankings are made of: scores and steps of each seed against tuned AdamW. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from discover.evaluate.protocol import EvaluationConfig
from discover.evaluate.table import Cell, better, steps_to
from discover.rank.results import Results
from discover.reading import CAP, FLOOR

MOST = 2.0
"""No draw counts more: on small separable data a test loss may be 0 to many digits by chance."""


def results(config: EvaluationConfig, cells: Sequence[Cell], notes: dict[str, Any] | None = None) -> Results:
    """Every rule and task at the schedule that tuned better (validation), seeds in their order.

    A score is log(loss / initial loss) above the known optimum, in multiples of the reference's mean over seeds: 0 no progress or a
    failed training, 1 the reference, at most `MOST`. Seed s of every rule is the same draw of the task, so its target is the reference's
    own final validation loss on that draw; steps are in multiples of what the reference needed for it there.
    """
    chosen = {(cell.rule, cell.task): cell for cell in better(cells)}
    shape = (len(config.rules), len(config.tasks), config.protocol.seeds)
    arrays = {name: np.full(shape, np.nan) for name in ("score", "steps_to_target", "cost_to_target", "loss")}
    for t, task in enumerate(config.tasks):
        base = chosen.get((config.protocol.reference, task.spec))
        if base is None or base.failed or progress(base) <= 0:
            continue  # nothing to compare with
        for r, rule in enumerate(config.rules):
            cell = chosen.get((rule.name, task.spec))
            if cell is not None:
                arrays["loss"][r, t] = cell.losses or math.inf
                arrays["score"][r, t] = scores(cell, base, config.protocol.seeds)
                arrays["steps_to_target"][r, t] = steps = ratios(cell, base, config.protocol.seeds)
                arrays["cost_to_target"][r, t] = steps * cell.cost_per_step / base.cost_per_step
    about = _notes(config, chosen, cells)
    return Results(tuple(r.name for r in config.rules), tuple(t.spec for t in config.tasks), notes={**about, **(notes or {})}, **arrays)


def log_ratios(cell: Cell) -> np.ndarray:
    """-log of final test loss / initial loss above the optimum [S], cut to between 1e-9 and 10; 0 where a draw failed."""
    loss, initial, optimum = (np.array(values, np.float64) for values in (cell.losses, cell.initial, cell.optimum))
    failed = ~np.isfinite(loss)
    ratio = np.where(failed, 1.0, loss - optimum) / np.where(failed, 1.0, initial - optimum)
    return -np.log(np.clip(ratio, FLOOR, CAP))


def progress(cell: Cell) -> float:
    """Mean of `log_ratios`."""
    return float(log_ratios(cell).mean())


def scores(cell: Cell, base: Cell, seeds: int) -> np.ndarray:
    """Scores [S], from 0 to `MOST`."""
    return np.clip(log_ratios(cell) / progress(base), 0.0, MOST) if cell.losses else np.zeros(seeds)


def ratios(cell: Cell, base: Cell, seeds: int) -> np.ndarray:
    """Steps to the reference's final validation loss on each draw, in multiples of its own steps to it: [S], inf is never."""
    if not cell.losses:
        return np.full(seeds, math.inf)
    found = []
    for s in range(seeds):
        target = base.curves[s][-1]
        mine, own = (steps_to(c.curves[s], c.initial[s], target, c.steps) for c in (cell, base))
        found.append(mine / own)
    return np.array(found)


def _notes(config: EvaluationConfig, chosen: dict[tuple[str, str], Cell], cells: Sequence[Cell]) -> dict[str, Any]:
    """What is shown beside the table; see `Results`."""
    tuned: dict[str, dict[str, str]] = {}
    schedule: dict[str, dict[str, str]] = {}
    for (rule, task), cell in chosen.items():
        tuned.setdefault(task, {})[rule] = ", ".join(f"{name} {value:.3g}" for name, value in cell.tuned.items())
        schedule.setdefault(task, {})[rule] = cell.schedule
    return {
        "preset": config.preset,
        "baseline": config.protocol.reference,
        "steps": {task.spec: task.steps for task in config.tasks},
        "trials": config.protocol.trials * len(config.protocol.schedules),
        "metric": {cell.task: cell.metric for cell in cells if not cell.failed},
        "tuned": tuned,
        "schedule": schedule,
        "schedule_gain": schedule_gain(config, chosen, cells),
        "edges": sum(cell.edge for cell in chosen.values()),
    }


def schedule_gain(config: EvaluationConfig, chosen: dict[tuple[str, str], Cell], cells: Sequence[Cell]) -> dict[str, float]:
    """By rule: mean score with warm-up and cosine minus that with a constant rate, over the tasks that have both."""
    found: dict[str, list[float]] = {}
    pairs = {(cell.rule, cell.task, cell.schedule): cell for cell in cells}
    for rule in config.rules:
        for task in config.tasks:
            base = chosen.get((config.protocol.reference, task.spec))
            both = [pairs.get((rule.name, task.spec, schedule)) for schedule in ("cosine", "constant")]
            if base is None or base.failed or progress(base) <= 0 or None in both:
                continue
            on, off = (float(scores(cell, base, config.protocol.seeds).mean()) for cell in both if cell is not None)
            found.setdefault(rule.name, []).append(on - off)
    return {rule: math.fsum(values) / len(values) for rule, values in found.items()}
