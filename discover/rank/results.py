"""The table that rankings are made of: rules × tasks × seeds, as measured, with a JSON form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from discover.atomic import write_text_atomic
from discover.errors import UserError

FORMAT = 1
ARRAYS = ("score", "steps_to_target", "cost_to_target", "loss")


@dataclass(frozen=True, eq=False)
class Results:
    """Measurements of R rules on T tasks with S seeds each; a missing seed or cell is NaN everywhere.

    score: f64[R, T, S], normalised, higher is better: 0 no progress, 1 tuned AdamW; a failed training has 0. Finite or NaN.
    steps_to_target, cost_to_target: f64[R, T, S], steps (evaluations, a gradient is 1) to tuned AdamW's loss, in multiples of AdamW's own;
    +inf is never. loss: f64[R, T, S], test loss; +inf is a failed training.
    notes: JSON data about the protocol, shown beside the table, all optional: `preset`, `date`, `hardware`, `seconds`, `command` (text and
    numbers), `baseline` (name of the rule with the score 1), `steps` (by task), `trials` (of each rule and task), `metric` (by task),
    `tuned` (by task, then by rule: text), `schedule` (by task, then by rule: the better one) and `schedule_gain` (by rule:
    mean score with warm-up and cosine minus that with a constant rate). Raises `UserError` for shapes or values that do not fit.
    """

    rules: tuple[str, ...]
    tasks: tuple[str, ...]
    score: np.ndarray
    steps_to_target: np.ndarray
    cost_to_target: np.ndarray
    loss: np.ndarray
    notes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for kind, names in (("rule", self.rules), ("task", self.tasks)):
            if not names:
                raise UserError(f"results have no {kind}s")
            if len(set(names)) != len(names):
                raise UserError(f"results name a {kind} twice: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
        for name in ARRAYS:
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64))
            self._check(name, getattr(self, name))

    def _check(self, name: str, values: np.ndarray) -> None:
        expected = (len(self.rules), len(self.tasks))
        if values.ndim != 3 or values.shape[:2] != expected or values.shape[2] == 0:
            raise UserError(f"results: {name} has the shape {values.shape}, expected ({expected[0]}, {expected[1]}, seeds)")
        if values.shape != self.score.shape:
            raise UserError(f"results: {name} has {values.shape[2]} seeds, score has {self.score.shape[2]}")
        if name == "score" and np.isinf(values).any():
            raise UserError("results: score is infinite somewhere; a failed training has the score 0")
        if name.endswith("_to_target") and (values < 0).any():
            raise UserError(f"results: {name} is negative somewhere")
        if np.isneginf(values).any():
            raise UserError(f"results: {name} is -inf somewhere")

    @property
    def seeds(self) -> int:
        """Number of seeds, the largest over the cells."""
        return self.score.shape[2]

    def select(self, rules: Sequence[int] | None = None, tasks: Sequence[int] | None = None) -> Results:
        """The results of some rules and tasks, by index; names stay unique only if the indices are."""
        r = list(range(len(self.rules))) if rules is None else list(rules)
        t = list(range(len(self.tasks))) if tasks is None else list(tasks)
        arrays = {name: getattr(self, name)[np.ix_(r, t)] for name in ARRAYS}
        return Results(tuple(self.rules[i] for i in r), tuple(self.tasks[i] for i in t), notes=self.notes, **arrays)


def save(results: Results, path: str | Path) -> None:
    """Write the results as JSON, atomically: NaN as null, +inf as "inf"."""
    data = {"format": FORMAT, "rules": results.rules, "tasks": results.tasks}
    data |= {name: _plain(getattr(results, name).tolist()) for name in ARRAYS} | {"notes": results.notes}
    write_text_atomic(Path(path), json.dumps(data, allow_nan=False) + "\n")


def load(path: str | Path) -> Results:
    """Read what `save` wrote; raises `UserError` in one line for anything else."""
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read results {path}: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path} is not a file of results: {error}".splitlines()[0]) from None
    return from_json(data, str(path))


def from_json(data: Any, where: str = "results") -> Results:
    """Results from parsed JSON; `where` names the source in errors."""
    missing = [k for k in ("format", "rules", "tasks", *ARRAYS) if not isinstance(data, Mapping) or k not in data]
    if missing:
        raise UserError(f"{where} is not a file of results: no '{missing[0]}'")
    if data["format"] != FORMAT:
        raise UserError(f"{where} has format {data['format']}, this version reads {FORMAT}")
    for kind in ("rules", "tasks"):
        if not isinstance(data[kind], list) or not all(isinstance(name, str) for name in data[kind]):
            raise UserError(f"{where}: {kind} is not a list of names")
    try:
        arrays = {name: np.array(_numbers(data[name]), np.float64) for name in ARRAYS}
    except (TypeError, ValueError):
        raise UserError(f'{where}: an array is not rectangular or has something other than numbers, null and "inf"') from None
    return Results(tuple(data["rules"]), tuple(data["tasks"]), notes=dict(data.get("notes", {})), **arrays)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if math.isnan(value) else "inf" if math.isinf(value) else value


def _numbers(value: Any) -> Any:
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    if value is None:
        return math.nan
    if value == "inf":
        return math.inf
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(value)
    return value
