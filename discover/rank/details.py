"""The lower half of the page: rule × task in colour, a table for each task, and how it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from discover.interval import student_interval
from discover.rank.advice import as_good
from discover.rank.cells import mean_score, median_ratio
from discover.rank.markup import Cell, interval, name, number, section, table, text
from discover.rank.report import Report


def heat(report: Report) -> str:
    """Scores of rules × tasks in colour."""
    results, means = report.results, mean_score(report.results)
    close = as_good(results)
    finite = np.abs(means[np.isfinite(means)] - 1.0)
    limit = float(np.clip(np.quantile(finite, 0.8), 0.02, 1.0)) if finite.size else 1.0
    rows = [
        [
            name(results.rules[r]),
            *(_heat_cell(report, r, t, float(means[r, t]), limit, bool(close[r, t])) for t in range(len(results.tasks))),
        ]
        for r in report.order
    ]
    legend = (
        f'<div class="legend"><span>{number(1 - limit)} or less</span><i style="background:linear-gradient(90deg,var(--bad),var(--card),'
        f'var(--good))"></i><span>{number(1 + limit)} or more</span><span>bold: the best of its task, or not told from it</span></div>'
    )
    lead = "Mean score over seeds: 0 is no progress, 1 is what tuned AdamW reached. Point at a cell for loss, steps and tuned numbers."
    columns = [("Rule", "")] + [(task, str(report.of("metric", task) or "")) for task in results.tasks]
    body = legend + table(columns, rows, kind="heat", highlight=report.marks(report.order))
    return section("map", "Every rule on every task", lead, body)


def _heat_cell(report: Report, r: int, t: int, score: float, limit: float, best: bool) -> Cell:
    if math.isnan(score):
        return Cell("–", None, "none", "not measured")
    share = min(1.0, abs(score - 1.0) / limit)
    colour = f"background:color-mix(in oklab, var(--{'good' if score >= 1.0 else 'bad'}) {75 * share:.0f}%, var(--card))"
    failed = bool(np.isinf(report.results.loss[r, t]).all())
    shown = "failed" if failed else number(score, 2 if abs(score) < 1 else 3)
    return Cell(f"<b>{shown}</b>" if best else shown, -score, title=_story(report, r, t), style=colour)


def _story(report: Report, r: int, t: int) -> str:
    """One cell in words."""
    results = report.results
    rule, task = results.rules[r], results.tasks[t]
    low, high = _interval(results.score[r, t])
    steps = float(median_ratio(results.steps_to_target)[r, t])
    parts = [
        f"{rule} on {task}: score {number(float(mean_score(results)[r, t]))}"
        + (f" (95 %: {interval(low, high)})" if interval(low, high) else "")
    ]
    parts.append(f"loss {number(_mean_loss(results.loss[r, t]), infinite='failed')}")
    parts.append(f"steps to AdamW's loss × {number(steps, infinite='never')}")
    tuned = report.of("tuned", task, rule)
    return "; ".join([*parts, str(tuned)] if tuned else parts)


def _interval(values: np.ndarray) -> tuple[float, float]:
    there = [float(v) for v in values if math.isfinite(v)]
    if len(there) < 2 or np.isinf(values).any():
        return math.nan, math.nan
    return student_interval(there)[1:]


def _mean_loss(values: np.ndarray) -> float:
    there = values[~np.isnan(values)]
    return float(there.mean()) if there.size else math.nan


def tasks(report: Report) -> str:
    """A folded table for every task."""
    results, means, close = report.results, mean_score(report.results), as_good(report.results)
    steps, cost = median_ratio(results.steps_to_target), median_ratio(results.cost_to_target)
    columns = [
        ("Rule", ""), ("Score", "mean over seeds, 95 % Student interval"), ("Test loss", "mean over seeds, 95 % Student interval"),
        ("Steps", "median steps to tuned AdamW's loss, AdamW's own = 1"), ("Cost", "the same in evaluations"),
        ("Schedule", "the better one on validation data"), ("Tuned", "learning rate and hyperparameters"),
    ]  # fmt: skip
    parts = []
    for t, task in enumerate(results.tasks):
        order = [int(r) for r in np.argsort(-np.nan_to_num(means[:, t], nan=-np.inf), kind="stable")]
        rows = [_task_row(report, r, t, float(means[r, t]), float(steps[r, t]), float(cost[r, t]), bool(close[r, t])) for r in order]
        facts = [f"{number(report.of('steps', task), 6)} steps" if report.of("steps", task) else "", str(report.of("metric", task) or "")]
        best = f"best: {results.rules[order[0]]}" if not np.isnan(means[order[0], t]) else "not measured"
        summary = f"<b>{text(task)}</b> <span>– {text('; '.join([best, *filter(None, facts)]))}</span>"
        parts.append(f"<details><summary>{summary}</summary>{table(columns, rows, highlight=report.marks(order))}</details>")
    return section(
        "tasks", "Task by task", "Bold: the best rule, or not told from it. Trained on its own draws, tested on fresh data.", "".join(parts)
    )


def _task_row(report: Report, r: int, t: int, mean: float, steps: float, cost: float, best: bool) -> list[Cell]:
    results = report.results
    rule, task = results.rules[r], results.tasks[t]
    score, loss = results.score[r, t], results.loss[r, t]
    heavy = f"<b>{number(mean)}</b>" if best else number(mean)
    mean_loss = _mean_loss(loss)
    return [
        name(rule),
        Cell(f"{heavy}<small>{interval(*_interval(score))}</small>", -mean),
        Cell(f"{number(mean_loss, 4, 'failed')}<small>{interval(*_interval(loss), 4)}</small>", mean_loss),
        Cell(number(steps, infinite="never"), steps),
        Cell(number(cost, infinite="never"), cost),
        Cell(text(report.of("schedule", task, rule) or "–")),
        Cell(text(report.of("tuned", task, rule) or "–"), kind="words"),
    ]


NAMED = ("preset", "date", "hardware", "seconds", "command", "baseline", "trials", "steps")
ELSEWHERE = ("tuned", "schedule", "metric", "schedule_gain")


def protocol(report: Report, replicates: int) -> str:
    """How the figures were made, and the factor of the schedule."""
    results, notes = report.results, report.notes
    items = [(key.replace("_", " "), _words(notes[key], key)) for key in NAMED if key in notes]
    items += [("seeds", str(results.seeds)), ("rules", str(len(results.rules))), ("tasks", str(len(results.tasks)))]
    items += [
        (key.replace("_", " "), _words(value, key))
        for key, value in notes.items()
        if key not in (*NAMED, *ELSEWHERE, "seeds", "rules", "tasks")
    ]
    items.append(
        (
            "intervals",
            f"95 % percentiles of {replicates} resamplings: tasks with replacement, and the seeds of every task (the same for all rules). "
            "Within one task: Student's interval over seeds.",
        )
    )
    missing = int(np.isnan(mean_score(results)).sum())
    items.append(("missing", f"{missing} of {len(results.rules) * len(results.tasks)} cells; they do not vote and are left out of means"))
    body = "<dl>" + "".join(f"<dt>{text(key)}</dt><dd>{text(value)}</dd>" for key, value in items) + "</dl>" + _schedule(report)
    lead = "Every rule gets the same trials, tuned on validation data and reported on test data of fresh seeds."
    return section("protocol", "How this was measured", lead, body)


def _schedule(report: Report) -> str:
    gains = report.notes.get("schedule_gain")
    if not isinstance(gains, Mapping):
        return ""
    places = [(r, gains.get(report.results.rules[r])) for r in report.order]
    rows = [[name(report.results.rules[r]), Cell(number(gain), -gain)] for r, gain in places if isinstance(gain, int | float)]
    columns = [("Rule", ""), ("Gain", "mean score with warm-up and cosine minus mean score with a constant rate")]
    summary = "What warm-up and cosine give, against a constant learning rate"
    return f"<details><summary>{summary}</summary>{table(columns, rows)}</details>"


def _words(value: Any, key: str) -> str:
    if key == "seconds" and isinstance(value, int | float):
        return f"{value / 60:.0f} minutes of work" if value >= 120 else f"{number(value)} s of work"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_words(v, '')}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_words(v, "") for v in value)
    return number(value, 6) if isinstance(value, float) else str(value)
