"""Diagnostics of an evaluation's rules at the rates and hyperparameters that were tuned, kept in the run folder.

Imports jax only to measure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from discover.atomic import write_text_atomic
from discover.evaluate.protocol import EvaluationConfig
from discover.evaluate.table import Cell
from discover.events import Events, Progress

FILE = "diagnostics.json"


def diagnose_cells(folder: Path, config: EvaluationConfig, cells: Sequence[Cell], events: Events) -> None:
    """Train the rule of each cell once more on its task, as it was tuned, and keep what was seen; what cannot be followed says why."""
    from discover.diagnose.measure import diagnose
    from search_space.program import RuleError
    from tasks.contracts import Schedule

    texts = {rule.name: rule.text for rule in config.rules}
    found: list[dict[str, Any]] = []
    for number, cell in enumerate(cells):
        events(Progress("diagnosing", number, len(cells), "rules", note=f"{cell.rule} on {cell.task}"))
        if not cell.tuned:
            continue  # failed: there is no rate to train with
        cosine = cell.schedule == "cosine"
        schedule = Schedule("cosine", config.protocol.warmup) if cosine else Schedule("constant", 0.0)
        hypers = {name: value for name, value in cell.tuned.items() if name != "learning_rate"}
        row, rate = {"rule": cell.rule, "task": cell.task}, cell.tuned["learning_rate"]
        try:
            seen = diagnose(texts[cell.rule], cell.task, rate, cell.steps, hypers=hypers, schedule=schedule, seed=config.seed)
            found.append({**seen.to_json(), **row})
        except RuleError as error:
            found.append({**row, "failed": str(error)})
    write_text_atomic(folder / FILE, json.dumps(_finite(found), indent=1, allow_nan=False) + "\n")


def load(folder: Path) -> list[dict[str, Any]]:
    """What `diagnose_cells` kept; nothing where it was not asked for."""
    path = folder / FILE
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else []


def _finite(value: Any) -> Any:
    """The same with None for numbers that JSON lacks."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
