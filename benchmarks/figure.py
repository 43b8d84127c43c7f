"""The README's figure from a finished search: `python -m benchmarks.figure RUN OUT.png`.

Left: best score so far against proposals. Right: tuned test loss of the found rule beside known rules, with 95 % intervals, on each task.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tyro
from tyro.conf import Positional

from discover.store import RunStore


def main(run: Positional[Path], out: Positional[Path]) -> None:
    """Read the run, draw, write."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with RunStore.open(run, readonly=True) as store:
        table: list[dict[str, Any]] = (store.info().result or {})["table"]
        scored = [(c.generation, c.score) for c in store.candidates() if c.score is not None]
        proposals, generations = store.proposals(), store.last_generation()
    per_generation = proposals / max(1, generations[0] if generations else 1)
    tasks = list(dict.fromkeys(row["task"] for row in table))
    figure, axes = plt.subplots(1, 1 + len(tasks), figsize=(4.2 * (1 + len(tasks)), 3.4))
    _progress(axes[0], sorted(scored), per_generation)
    for axis, task in zip(axes[1:], tasks, strict=True):
        _losses(axis, task, [row for row in table if row["task"] == task and row["mean"] is not None])
    figure.tight_layout()
    figure.savefig(out, dpi=110)


def _progress(axis: Any, scored: list[tuple[int, float]], per_generation: float) -> None:
    best, xs, ys = float("inf"), [], []
    for generation, score in scored:
        best = min(best, score)
        xs.append(generation * per_generation)
        ys.append(best)
    axis.step(xs, ys, where="post")
    axis.ticklabel_format(axis="x", style="sci", scilimits=(3, 3))
    axis.set(xlabel="proposals", ylabel="best score (validation, lower is better)", title="search")


def _losses(axis: Any, task: str, rows: list[dict[str, Any]]) -> None:
    rows = sorted(rows, key=lambda row: -row["mean"])
    for y, row in enumerate(rows):
        colour = "tab:red" if row["rule"] == "found" else "tab:blue"
        axis.plot([row["low"], row["high"]], [y, y], color=colour)
        axis.plot(row["mean"], y, "o", color=colour)
    axis.set_yticks(range(len(rows)), [row["rule"] for row in rows])
    held_out = "" if rows and rows[0]["searched"] else " (held out)"
    axis.set(xlabel="test loss, tuned, fresh draws", title=task + held_out)


if __name__ == "__main__":
    tyro.cli(main)
