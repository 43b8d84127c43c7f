"""Doing an evaluation in a run folder and printing its table: what `evaluate`, `leaderboard`, `resume` and `show` share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from discover.cli import output
from discover.cli.runs import perform
from discover.events import Events
from discover.store import RunStore

if TYPE_CHECKING:
    from discover.evaluate.protocol import EvaluationConfig
    from discover.evaluate.table import Cell
    from discover.schema import RunInfo

KINDS = ("evaluate", "leaderboard")
"""Kinds of runs that are evaluations."""


def measure(config: EvaluationConfig, folder: Path, kind: str, workers: int, as_object: bool, diagnose: bool = False) -> int:
    """Say how long it will take, do it, and report; `diagnose` says why each rule does what it does, too."""
    from discover.evaluate.run import estimate_seconds, run

    count = len(config.rules) * len(config.tasks) * len(config.protocol.schedules)
    minutes = estimate_seconds(config, workers) / 60.0
    trainings = count * config.protocol.trainings
    output.say(
        f"{count:,} cells, {trainings:,} trainings, {config.protocol.trials} trials each: about {minutes:.1f} min on {workers} cores"
    )

    def job(events: Events) -> None:
        run(config, folder, kind, events, workers)
        _publish(folder)
        if diagnose:
            _diagnose(folder, config, events)

    return perform(folder, as_object, job, report)


def resume(folder: Path, workers: int, as_object: bool) -> int:
    """Continue an evaluation that was stopped."""
    from discover.evaluate.run import resume as continued

    def job(events: Events) -> None:
        continued(folder, events, workers)
        _publish(folder)

    return perform(folder, as_object, job, report)


def report_again(folder: Path, as_object: bool) -> None:
    """Report a finished run, and write its files in case it was stopped before it could."""
    _publish(folder)
    report(folder, as_object)


def _diagnose(folder: Path, config: EvaluationConfig, events: Events) -> None:
    """Follow each rule at the better schedule."""
    from discover.diagnose.record import diagnose_cells
    from discover.evaluate.run import cells_of
    from discover.evaluate.table import better

    with RunStore.open(folder, readonly=True) as store:
        cells = cells_of(store)
    diagnose_cells(folder, config, better(cells), events)


def _publish(folder: Path) -> None:
    """Write a finished leaderboard's files."""
    from discover.evaluate.publish import publish
    from discover.evaluate.run import cells_of

    with RunStore.open(folder, readonly=True) as store:
        if store.info().kind == "leaderboard":
            publish(folder, store.info(), cells_of(store))


def report(folder: Path, as_object: bool) -> None:
    """Print the table of a run, finished or not, as tables or as one JSON object."""
    from discover.cli.diagnoses import show
    from discover.diagnose import record
    from discover.evaluate.protocol import EvaluationConfig
    from discover.evaluate.run import cells_of
    from discover.evaluate.table import better

    with RunStore.open(folder, readonly=True) as store:
        info, cells = store.info(), cells_of(store)
    config = EvaluationConfig.from_json(info.config)
    if info.kind == "leaderboard" and info.status == "finished":
        report_leaderboard(folder, info, cells, as_object)
        return
    best, diagnoses = better(cells), record.load(folder)
    if as_object:
        shared = {"run": str(folder), "status": info.status, "config": info.config}
        shared |= {"diagnostics": diagnoses} if diagnoses else {}
        output.print_json({**shared, "results": [row(cell) for cell in best], "cells": [cell.to_json() for cell in cells]})
        return
    for task in config.tasks:
        print_task(config, task.spec, [cell for cell in best if cell.task == task.spec])
    show(diagnoses)
    if info.status != "finished":
        output.print_text(f"{folder} is {info.status}: cells that are missing are not measured yet")


def report_leaderboard(folder: Path, info: RunInfo, cells: Sequence[Cell], as_object: bool) -> None:
    """Print the rankings side by side and the facts that judge them; read from the store."""
    from discover.evaluate.protocol import EvaluationConfig
    from discover.evaluate.publish import CSV_FILE, JSON_FILE, PAGE, rank

    config = EvaluationConfig.from_json(info.config)
    rankings = rank(info, cells)
    if as_object:
        rules, tasks = [rule.name for rule in config.rules], [task.spec for task in config.tasks]
        output.print_json({"run": str(folder), "status": info.status, "rules": rules, "tasks": tasks, "rankings": rankings})
        return
    steps = [(task.spec, str(task.steps)) for task in config.tasks]
    output.print_table(f"Tasks; {config.protocol.trials} tuning trials for each rule, task and schedule", ("task", "steps"), steps)
    lines = [
        (str(place + 1), *(order[place] if place < len(order) else "–" for order in rankings.values()))
        for place in range(len(config.rules))
    ]
    output.print_table("Rankings, best first", ("", *rankings), lines)
    edges, failed = sum(cell.edge for cell in cells), sum(bool(cell.failed) for cell in cells)
    output.print_text(f"{len(cells)} cells; {edges} with the best rate at the grid's edge, {failed} failed")
    output.print_text(f"Page: {folder / PAGE}\nFigures: {folder / JSON_FILE}, {folder / CSV_FILE}")


def row(cell: Cell) -> dict[str, Any]:
    """A line of `results`."""
    return {name: value for name, value in cell.to_json().items() if name not in ("curves", "initial", "optimum")}


def print_task(config: EvaluationConfig, task: str, cells: Sequence[Cell]) -> None:
    """The rules on one task at the better schedule of each, best first."""
    if not cells:
        return
    protocol = config.protocol
    title = (
        f"{task}: test {cells[0].metric}, {protocol.seeds} fresh draws, 95 % interval; {cells[0].steps} steps, "
        f"{protocol.trials} tuning trials for each rule and schedule"
    )
    ordered = sorted(cells, key=lambda cell: math.inf if cell.mean is None else cell.mean)
    rows = [
        (
            cell.rule, output.number(cell.mean), f"{output.number(cell.low)} … {output.number(cell.high)}", cell.schedule,
            _ratio(cell.steps_ratio), _ratio(cell.cost_ratio), _tuned(cell), cell.failed,
        )
        for cell in ordered
    ]  # fmt: skip
    columns = ("rule", "loss", "interval", "schedule", f"steps to {protocol.reference}", "cost", "tuned", "remarks")
    output.print_table(title, columns, rows)


def _ratio(value: float) -> str:
    return "never" if value == math.inf else "–" if math.isnan(value) else f"{value:.2f}"


def _tuned(cell: Cell) -> str:
    values = ", ".join(f"{name} {output.number(value, 3)}" for name, value in cell.tuned.items() if name != "learning_rate")
    edge = " (at the grid's edge)" if cell.edge else ""
    return f"lr {output.number(cell.tuned.get('learning_rate'), 3)}{edge}{', ' if values else ''}{values}"
