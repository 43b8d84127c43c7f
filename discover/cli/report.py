"""The tables of a run, after a search and in `show`."""

from __future__ import annotations

from collections.abc import Sequence

from discover.cli import output
from discover.schema import Candidate
from discover.summary import Summary


def print_summary(summary: Summary) -> None:
    """Best rules, Pareto front, funnel, and the text of the best rule."""
    print_rules("Best rules", summary.best)
    if len(summary.front) > 1:
        print_rules("Not beaten in score, state and cost at once", summary.front)
    print_funnel(summary)
    if summary.best:
        output.print_text(summary.best[0].text.rstrip())


def print_rules(title: str, rules: Sequence[Candidate]) -> None:
    """A table of rules; the lower the score the better."""
    rows = [
        (str(c.id), output.number(c.score, 5), output.number(c.state_bytes), output.number(c.cost), str(c.generation), _short(c.text))
        for c in rules
    ]
    output.print_table(title, ("id", "score", "state B/param", "flops/param", "generation", "rule"), rows)


def print_funnel(summary: Summary) -> None:
    """Proposals by outcome, with shares."""
    total = max(1, summary.proposals)
    outcomes = [("proposals", summary.proposals), ("trained", summary.trained), *summary.rejected.items()]
    rows = [(name, f"{count:,}", f"{100 * count / total:.1f}") for name, count in outcomes]
    output.print_table("Proposals", ("outcome", "count", "%"), rows)


def _short(text: str, width: int = 90) -> str:
    """The statements of a rule on one line."""
    lines = [line.strip() for line in text.splitlines() if line.startswith(" ")]
    line = "; ".join(lines)
    return line if len(line) <= width else line[: width - 1] + "…"
