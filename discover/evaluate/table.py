"""The table of an evaluation: one `Cell` for each rule × task × schedule, set beside the reference rule. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from discover.evaluate.jobs import programs_of
from discover.evaluate.protocol import EvaluationConfig
from discover.interval import student_interval
from search_space.cost import cost_per_step

Raw = Mapping[str, Any]
"""A cell as a job returns it."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A rule on a task with a schedule: test loss over S fresh draws (mean, 95 % Student interval; None where a draw failed).

    `losses`, `initial` [S]: test losses at the end, validation losses before the first step, +inf is a failed training.
    `curve` [E]: mean validation loss after each E-th part of the steps, `curves` [S][E] of each draw.
    `steps_ratio`: steps until `curve` reaches the reference's final validation loss (its better schedule) / all steps, read between
    evaluations on a straight line; inf if it never does. `cost_ratio`: the same in evaluations, a gradient being 1.
    `tuned`: learning rate and hyperparameters, chosen by `tuning_loss` (validation) among `trials`. `edge`: the best rate lies at an end
    of the grid. `failed`: why there is no figure, else "".
    """

    rule: str
    task: str
    schedule: str
    metric: str
    mean: float | None
    low: float | None
    high: float | None
    losses: tuple[float, ...]
    curve: tuple[float, ...]
    curves: tuple[tuple[float, ...], ...]
    initial: tuple[float, ...]
    optimum: tuple[float, ...]
    steps_ratio: float
    cost_ratio: float
    tuned: dict[str, float]
    tuning_loss: float
    edge: bool
    trials: int
    steps: int
    cost_per_step: float
    seconds: float
    failed: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def table(config: EvaluationConfig, raws: Sequence[Raw]) -> list[Cell]:
    """The cells that are measured, ordered by task, rule and schedule as the configuration has them."""
    found = {(raw["task"], raw["rule"], raw["schedule"]): raw for raw in raws}
    cells = []
    for task in config.tasks:
        target = target_loss(config, task.spec, found)
        for rule in config.rules:
            cost = max(cost_per_step(program)["total"] for program in programs_of(rule.text))
            for schedule in config.protocol.schedules:
                raw = found.get((task.spec, rule.name, schedule))
                if raw is not None:
                    cells.append(_cell(raw, task.steps, target, cost))
    return cells


def target_loss(config: EvaluationConfig, task: str, found: Mapping[tuple[str, str, str], Raw]) -> float:
    """The reference's mean final validation loss under the schedule that tuned better; NaN where it failed or is not there yet."""
    name = config.protocol.reference
    raws = [raw for s in config.protocol.schedules if (raw := found.get((task, name, s))) is not None and "failed" not in raw]
    if not raws:
        return math.nan
    best = min(raws, key=lambda raw: raw["loss"])
    losses = best["valid"]
    return math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.nan


def _cell(raw: Raw, steps: int, target: float, cost: float) -> Cell:
    names = (raw["rule"], raw["task"], raw["schedule"], raw.get("metric", "loss"))
    if "failed" in raw:
        return Cell(
            *names, None, None, None, (), (), (), (), (), math.inf, math.inf, {}, math.inf, False, 0, steps, cost, 0.0, raw["failed"]
        )
    test = tuple(math.inf if diverged(start, end) else end for start, end in zip(raw["initial"], raw["test"], strict=True))
    failures = sum(not math.isfinite(x) for x in test)
    mean, low, high = (None, None, None) if failures else student_interval(test)
    curves = tuple(tuple(row) for row in raw["curve"])
    curve = tuple(math.fsum(column) / len(column) if all(map(math.isfinite, column)) else math.inf for column in zip(*curves, strict=True))
    start = math.fsum(raw["initial"]) / len(raw["initial"])
    ratio = steps_to(curve, start, target, steps)
    return Cell(
        *names, mean, low, high, test, curve, curves, tuple(raw["initial"]), tuple(raw["optimum"]), ratio, ratio * cost,
        {"learning_rate": raw["rate"], **raw["hypers"]}, raw["loss"], raw["edge"], raw["trials"], steps, cost, raw["seconds"],
        f"diverged on {failures} of {len(test)} draws" if failures else "",
    )  # fmt: skip


def diverged(initial: float, final: float) -> bool:
    """Whether a training that ended far above its start failed like one that overflowed; the bound is that of `tasks.rollout.diverged`."""
    return final - initial > 10.0 * max(abs(initial), 1.0)


def steps_to(curve: Sequence[float], initial: float, target: float, steps: int) -> float:
    """Share of the steps after which a validation curve [E] first is at or below `target`, at least one step; inf if never.

    Between evaluations, the first of which is `initial` at step 0, the curve is a straight line. NaN where there is no target.
    """
    if math.isnan(target):
        return math.nan
    if initial <= target:
        return 1.0 / steps
    before = initial
    for place, loss in enumerate(curve):
        if loss <= target:
            part = (before - target) / (before - loss) if math.isfinite(before) else 1.0
            return max((place + part) / len(curve), 1.0 / steps)
        before = loss
    return math.inf


def better(cells: Sequence[Cell]) -> list[Cell]:
    """For each rule and task the schedule with the lower validation loss in tuning (the first of equals), in the order given."""
    best: dict[tuple[str, str], Cell] = {}
    for cell in cells:
        old = best.get((cell.rule, cell.task))
        if old is None or cell.tuning_loss < old.tuning_loss:
            best[cell.rule, cell.task] = cell
    return list(best.values())
