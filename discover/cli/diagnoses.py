"""Tables of what `discover evaluate --diagnose` saw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from discover.cli import output

POINTS = {
    "loss": "loss",
    "sharpness": "sharpness",
    "rate_sharpness": "rate × it",
    "directional": "along the step",
    "adaptive_worst": "rise at 5 %, worst",
    "adaptive_average": "mean",
    "top_share": "top share",
}
LAYERS = {"ratio": "update / weights", "effective_rate": "effective rate", "barrier": "barrier"}
FLOW = {"sharpness": "sharpness", "gradient": "gradient left"}


def show(found: Sequence[Mapping[str, Any]]) -> None:
    """Three tables for each task: the points of the path, the layers at its end, and where the gradient flow goes from there."""
    for task in dict.fromkeys(row["task"] for row in found):
        rows = [row for row in found if row["task"] == task and "failed" not in row]
        points = [(row["rule"], str(point["step"]), *_cells(point, POINTS)) for row in rows for point in row["points"]]
        output.print_table(f"{task}: curvature along the path", ("rule", "step", *POINTS.values()), points)
        layers = [(row["rule"], name, *_cells(layer, LAYERS)) for row in rows for name, layer in row["layers"].items()]
        output.print_table(f"{task}: the last step, by layer", ("rule", "layer", *LAYERS.values()), layers)
        flows = [(row["rule"], *_cells(row["flow"], FLOW)) for row in rows]
        output.print_table(f"{task}: where the gradient flow from the end goes", ("rule", *FLOW.values()), flows)
    for row in found:
        if "failed" in row:
            output.print_text(f"{row['rule']} on {row['task']}: {row['failed']}")


def _cells(values: Mapping[str, float | None], names: Mapping[str, str]) -> list[str]:
    return [output.number(values[name], 3) for name in names]
