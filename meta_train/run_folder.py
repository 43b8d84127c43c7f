"""The files of a meta-training run. Imports no jax, so that a run can be looked at quickly.

`meta_train.json` is the configuration, written before any work; `checkpoints/` what a resume needs; `curve.csv` the scores over time, in
which meta-overfitting shows as a falling training score and a rising validation score; `weights/` the best theta.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

from meta_train.checkpoint_files import FOLDER, newest_record, write_atomic
from meta_train.config import MetaConfig
from meta_train.errors import LearnedOptimizerError

MARKER, CURVE, WEIGHTS = "meta_train.json", "curve.csv", "weights"
FORMAT = 2


def is_run(folder: Path) -> bool:
    """Whether a meta-training run lives here."""
    return (folder / MARKER).is_file()


def create(folder: Path, config: MetaConfig) -> None:
    """Begin a run; raises `LearnedOptimizerError` where there is one already."""
    if is_run(folder):
        raise LearnedOptimizerError(f"{folder} already holds a run: choose another folder, or resume it")
    try:
        (folder / FOLDER).mkdir(parents=True, exist_ok=True)
        write_atomic(folder / MARKER, json.dumps({"format": FORMAT, "config": config.to_json()}, indent=1))
    except OSError as error:
        raise LearnedOptimizerError(f"cannot make the run folder {folder}: {error.strerror}") from error


def read_config(folder: Path) -> MetaConfig:
    """The configuration of a run; raises `LearnedOptimizerError` where there is none or it is damaged."""
    try:
        data = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        if data["format"] != FORMAT:
            raise LearnedOptimizerError(f"{folder} was made by another version: its format is {data['format']}, this one reads {FORMAT}")
        return MetaConfig.from_json(data["config"])
    except FileNotFoundError:
        raise LearnedOptimizerError(f"{folder} is not a meta-training run: it has no {MARKER}") from None
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise LearnedOptimizerError(f"{folder / MARKER} is damaged: {' '.join(str(error).split())}") from error


def write_curve(folder: Path, rows: list[dict[str, Any]]) -> None:
    """All rows as CSV, which replaces the file."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_atomic(folder / CURVE, text.getvalue())


def summary(folder: Path) -> dict[str, Any]:
    """What a run has done, from its configuration and last checkpoint."""
    config, record = read_config(folder), newest_record(folder)
    seconds, timed = record.get("timed_seconds", 0.0), record.get("timed_steps", 0)
    closing = record.get("closing")
    curve = [*record.get("curve", []), *([closing] if closing else [])]
    best = min(curve, key=lambda row: row["validation_score"], default={})
    return {
        "run": str(folder),
        "optimizer": config.optimizer,
        "status": record.get("status", "begun"),
        "outer_steps": record.get("step", 0),
        "outer_steps_per_s": timed / seconds if seconds else None,
        "inner_steps_per_s": record.get("timed_inner_steps", 0) / seconds if seconds else None,
        "inner_steps": record.get("inner_steps", 0),
        "meta_loss": curve[-1]["meta_loss"] if curve else None,
        "seconds": record.get("seconds", 0.0),
        "best_score": best.get("validation_score"),
        "best_step": best.get("outer_step"),
        "devices": record.get("devices"),
        "skipped": record.get("skipped", 0),
        "curve": curve,
        "config": config.to_json(),
    }
