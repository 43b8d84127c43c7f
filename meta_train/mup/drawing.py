"""Figures of coordinate checks and of learning-rate transfer, with matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from meta_train.mup import network
from meta_train.mup.coordinate_check import CoordinateCheck


def draw_checks(checks: Mapping[str, CoordinateCheck], path: Path) -> None:
    """Movement of each layer (columns) against width, a line for each step; a row of axes for each check."""
    figure, axes = _axes(len(checks), len(network.LAYERS))
    for row, (title, check) in zip(axes, checks.items(), strict=True):
        for i, (axis, layer) in enumerate(zip(row, network.LAYERS, strict=True)):
            for step in range(check.movement.shape[1]):
                axis.plot(check.widths, check.movement[:, step, i], "o-", markersize=3, label=f"step {step + 1}")
            axis.set(xscale="log", yscale="log", xlabel="width", title=f"{title}: {layer}, slope {check.slopes()[layer]:.3f}")
        row[0].set_ylabel("movement (RMS)")
    axes[0][0].legend(fontsize=7)
    _save(figure, path)


def draw_transfer(
    curves: Mapping[str, Mapping[int, np.ndarray]],
    rates: np.ndarray,
    path: Path,
    ylabel: str = "training loss",
    xlabel: str = "learning rate",
) -> None:
    """Loss against learning rate: axes for each title, a line for each width, a star at its best."""
    figure, axes = _axes(1, len(curves))
    for axis, (title, lines) in zip(axes[0], curves.items(), strict=True):
        for width, losses in lines.items():
            line = axis.plot(rates, losses, "o-", markersize=3, label=f"width {width}")[0]
            best = int(np.nanargmin(losses))
            axis.plot(rates[best], losses[best], "*", color=line.get_color(), markersize=11)
        axis.set(xscale="log", yscale="log", xlabel=xlabel, title=title)
    axes[0][0].set_ylabel(ylabel)
    axes[0][0].legend(fontsize=7)
    _save(figure, path)


def _axes(rows: int, columns: int) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2 * columns, 3.2 * rows))
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, sharey="row")


def _save(figure: Any, path: Path) -> None:
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
