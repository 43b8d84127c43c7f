"""What `meta-train`, `resume` and `show` print of a meta-training run. Imports no jax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from discover.cli import output
from meta_train import run_folder

ROWS = 20


def report(folder: Path, as_object: bool) -> None:
    """The run's figures and its curve, as tables or as one JSON object."""
    summary = run_folder.summary(folder)
    if as_object:
        output.print_json(summary)
        return
    rows = [(name.replace("_", " "), _cell(value)) for name, value in summary.items() if name not in ("curve", "config", "run")]
    output.print_table(f"Meta-training in {folder}", ("what", "value"), rows)
    curve = summary["curve"]
    if curve:
        every = -(-len(curve) // ROWS)
        shown = [row for i, row in enumerate(curve) if i % every == 0 or row is curve[-1] or row["outer_step"] == summary["best_step"]]
        title = "Scores over time: nats of loss above Adam tuned on the same draws, lower is better"
        columns = ("outer_step", "seconds", "inner_steps", "meta_loss", "train_score", "validation_score")
        cells = [[_cell(row[c]) + ("  best" if c == "validation_score" and _best(row, summary) else "") for c in columns] for row in shown]
        output.print_table(title, [c.replace("_", " ") for c in columns], cells)
        output.print_text(f"weights: {folder / run_folder.WEIGHTS}")


def _best(row: dict[str, Any], summary: dict[str, Any]) -> bool:
    return row["outer_step"] == summary["best_step"]


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1e4 else output.number(value)
    return f"{value:,}" if isinstance(value, int) else "–" if value is None else str(value)
