"""The tables of a run, after a search and in `show`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discover.cli import output
from discover.schema import Candidate
from discover.summary import Summary

BEST_FILE, FRONT_FILE = "best.rule", "front.csv"


def print_summary(summary: Summary) -> None:
    """The funnel, the Pareto front, the best rules, and last what a reader wants most: the best rule beside the known ones."""
    print_funnel(summary)
    if summary.audit:
        print_audit(summary.audit)
    if len(summary.front) > 1:
        print_rules("Not beaten in score, state and cost at once", summary.front)
    if summary.hall:
        print_hall(summary.hall)
    else:
        print_rules("Best rules so far", summary.best)
    for task in dict.fromkeys(row["task"] for row in summary.table):
        print_comparison(task, [row for row in summary.table if row["task"] == task])
    if text := summary.best_text():
        output.print_text(text.rstrip())
    for title, name in (("Best rule", BEST_FILE), ("Pareto front", FRONT_FILE)):
        if (path := Path(summary.run) / name).exists():
            output.print_text(f"{title}: {path}")


def print_rules(title: str, rules: Sequence[Candidate]) -> None:
    """A table of rules; the lower the score the better."""
    rows = [
        (str(c.id), output.number(c.score), output.number(c.state_bytes), output.number(c.cost), str(c.generation), short(c.text))
        for c in rules
    ]
    output.print_table(title, ("id", "score", "state B/param", "flops/param", "generation", "rule"), rows)


def print_hall(hall: Sequence[dict[str, Any]]) -> None:
    """The hall of fame: scores on the draws that selected, and on fresh ones, by which it is ordered."""
    rows = [
        (
            str(hero["id"]), output.number(hero["fresh_score"]), output.number(hero["score"]), output.number(hero["state_bytes_per_param"]),
            output.number(hero["cost"]), short(hero["rule"]),
        )
        for hero in hall
    ]  # fmt: skip
    output.print_table("Best rules", ("id", "fresh score", "search score", "state B/param", "flops/param", "rule"), rows)


def print_comparison(task: str, rows: Sequence[dict[str, Any]]) -> None:
    """Test losses of the found rule and of known ones, all tuned with as many trials, best first."""
    searched = "searched on" if rows[0]["searched"] else "held out"
    title = f"{task} ({searched}): test loss, {rows[0]['seeds']} fresh draws, 95 % interval, {rows[0]['trials']} tuning trials each"
    ordered = sorted(rows, key=lambda row: (row["mean"] is None, row["mean"]))
    cells = [
        (
            row["rule"], output.number(row["mean"]), f"{output.number(row['low'])} … {output.number(row['high'])}",
            output.number(row["rate"], 3), ", ".join(f"{name} {output.number(value, 6)}" for name, value in row["hypers"].items()),
        )
        for row in ordered
    ]  # fmt: skip
    output.print_table(title, ("rule", "loss", "interval", "learning rate", "tuned numbers"), cells)


def print_audit(audit: Sequence[dict[str, Any]]) -> None:
    """What the filters cost: rejects that were trained all the same, and how many of them were good."""
    columns = tuple(audit[0])
    rows = [tuple(output.number(v, 3) if isinstance(v, float) else "–" if v is None else str(v) for v in row.values()) for row in audit]
    output.print_table("Audit of the filters", tuple(column.replace("_", " ") for column in columns), rows)


def print_funnel(summary: Summary) -> None:
    """Proposals by outcome, with shares."""
    total = max(1, summary.proposals)
    outcomes = [("proposals", summary.proposals), ("trained", summary.trained), *summary.rejected.items()]
    rows = [(name, f"{count:,}", f"{100 * count / total:.1f}") for name, count in outcomes]
    output.print_table("Proposals", ("outcome", "count", "%"), rows)


def short(text: str, width: int = 90) -> str:
    """The statements of a rule on one line."""
    line = "; ".join(line.strip() for line in text.splitlines() if line.startswith(" "))
    return line if len(line) <= width else line[: width - 1] + "…"
