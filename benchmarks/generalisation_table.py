"""The table of `benchmarks.generalisation`: test losses over those of Adam tuned at the same cell, with bootstrap intervals over seeds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Row = dict[str, Any]


def table(rows: list[Row]) -> str:
    """Markdown: a line for each cell and entrant, then a summary of the held-out cells for each entrant."""
    adam = {tuple(row["cell"]): row for row in rows if row["who"] == "adam"}
    others = [row for row in rows if row["who"] != "adam" and tuple(row["cell"]) in adam]
    lines = [
        "| axis | × | task | steps | entrant | test loss | Adam, tuned here | ratio (95 %) | steps to Adam's end | time of a step | "
        "ratio at equal time |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
        *[_line(row, adam[tuple(row["cell"])]) for row in others],
    ]
    return "\n".join([*lines, "", *_summary(others, adam)])


def ratio(row: Row, adam: Row) -> float:
    """Mean test loss over Adam's, both above the optimum where it is known; inf for a failure."""
    value = _mean(row) / max(_mean(adam), 1e-12)
    return value if math.isfinite(value) else math.inf


def _mean(row: Row) -> float:
    return float(np.mean(row["test"])) - row["optimum"]


def _line(row: Row, adam: Row) -> str:
    axis, factor, task, steps = row["cell"]
    low, high = _interval(row, adam)
    slower = row["seconds"] / adam["seconds"]
    return (
        f"| {axis} | {factor:g} | {task} | {steps} | {row['who']} | {np.mean(row['test']):.4g} | {np.mean(adam['test']):.4g} | "
        f"{ratio(row, adam):.3g} ({low:.3g} … {high:.3g}) | {_reached(row, adam):.2g} | {slower:.2g} × | {_equal_time(row, adam):.3g} |"
    )


def _interval(row: Row, adam: Row) -> tuple[float, float]:
    """Percentile bootstrap over seeds, which both share: pairs are drawn together."""
    pairs = np.array([row["test"], adam["test"]], np.float64).T - row["optimum"]
    if not np.isfinite(pairs).all():
        return math.inf, math.inf
    drawn = pairs[np.random.default_rng(0).integers(0, len(pairs), (2000, len(pairs)))].mean(axis=1)
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12), [2.5, 97.5])
    return float(low), float(high)


def _reached(row: Row, adam: Row) -> float:
    """Share of the steps after which the mean validation loss is at Adam's last one; inf if never."""
    below = np.flatnonzero(np.array(row["curve"]) <= adam["curve"][-1])
    return (int(below[0]) + 1) / len(row["curve"]) if len(below) else math.inf


def _equal_time(row: Row, adam: Row) -> float:
    """Validation loss, when Adam's time is over, over Adam's last one; its schedule was not made for that, so this is pessimistic."""
    share = min(1.0, adam["seconds"] / row["seconds"])
    place = int(share * len(row["curve"])) - 1
    reached = row["curve"][place] if place >= 0 else row["initial"]
    return (reached - row["optimum"]) / max(adam["curve"][-1] - row["optimum"], 1e-12)


def _summary(rows: list[Row], adam: dict[tuple[Any, ...], Row]) -> list[str]:
    lines = []
    for who in dict.fromkeys(row["who"] for row in rows):
        mine = [row for row in rows if row["who"] == who and row["cell"][0] == "held out"]
        ratios = [ratio(row, adam[tuple(row["cell"])]) for row in mine]
        failed = sum(not np.isfinite(row["test"]).all() for row in rows if row["who"] == who)
        if ratios:
            better = sum(r < 1.0 for r in ratios)
            lines.append(f"{who}: better than tuned Adam on {better} of {len(ratios)} held-out cells, median ratio {np.median(ratios):.3g}")
        lines.append(f"{who}: {failed} failures over all cells")
    return lines
