"""The files of a finished leaderboard: everything as JSON, a line for each cell as CSV, and the page. Imports no jax."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discover.atomic import write_text_atomic
from discover.evaluate.protocol import EvaluationConfig
from discover.evaluate.ranked import results
from discover.evaluate.table import Cell, better
from discover.rank import page
from discover.rank.aggregate import rankings
from discover.rank.results import Results, save
from discover.schema import RunInfo

JSON_FILE, CSV_FILE, PAGE = "leaderboard.json", "leaderboard.csv", "leaderboard.html"
COLUMNS: tuple[str, ...] = (
    "rule", "task", "schedule", "chosen", "metric", "mean", "low", "high", "steps_ratio", "cost_ratio", "learning_rate", "hyperparameters",
    "edge", "tuning_loss", "trials", "steps", "cost_per_step", "seconds", "failed",
)  # fmt: skip


def publish(folder: Path, info: RunInfo, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """Write the files into the run folder, each in one piece, and return the rankings: method → rules, best first."""
    found = leaderboard(info, cells)
    save(found, folder / JSON_FILE)
    write_text_atomic(folder / CSV_FILE, _csv(cells))
    page.write(found, folder / PAGE)
    return rankings(found)


def rank(info: RunInfo, cells: Sequence[Cell]) -> dict[str, list[str]]:
    """The rankings alone."""
    return rankings(leaderboard(info, cells))


def leaderboard(info: RunInfo, cells: Sequence[Cell]) -> Results:
    """The table that is ranked, with what a reader must know about the run."""
    config = EvaluationConfig.from_json(info.config)
    seconds = sum(cell.seconds for cell in cells)
    return results(config, cells, {"date": info.created[:10], "hardware": _hardware(), "seconds": round(seconds, 1), "seed": config.seed})


def _hardware() -> str:
    return f"{platform.machine()} CPU, one core for each worker; seconds are those of all workers together"


def _csv(cells: Sequence[Cell]) -> str:
    """One line for each cell; `chosen` marks the schedule that tuned better."""
    chosen = {(cell.rule, cell.task, cell.schedule) for cell in better(cells)}
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for cell in cells:
        writer.writerow(_line(cell, (cell.rule, cell.task, cell.schedule) in chosen))
    return text.getvalue()


def _line(cell: Cell, chosen: bool) -> dict[str, Any]:
    hypers = "; ".join(f"{name}={value:.6g}" for name, value in cell.tuned.items() if name != "learning_rate")
    more = {"chosen": int(chosen), "learning_rate": cell.tuned.get("learning_rate"), "hyperparameters": hypers}
    return {**cell.to_json(), **more}
