"""The records of checkpoints: which are committed, and what they say besides the arrays. Imports no jax."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from meta_train.errors import LearnedOptimizerError

FOLDER = "checkpoints"


def record_path(run: Path, step: int) -> Path:
    """The file whose appearance commits the checkpoint of a step; the folder of its arrays has the same name without the suffix."""
    return run / FOLDER / f"{step:09d}.json"


def committed(run: Path) -> list[int]:
    """The steps that have a checkpoint, oldest first."""
    return sorted(int(path.stem) for path in (run / FOLDER).glob("*.json") if path.stem.isdigit())


def newest_record(run: Path) -> dict[str, Any]:
    """What the last checkpoint says, nothing where there is none; raises `LearnedOptimizerError` where it cannot be read."""
    steps = committed(run)
    if not steps:
        return {}
    try:
        record = json.loads(record_path(run, steps[-1]).read_text(encoding="utf-8"))
        return {**record, "step": int(record["step"]), "digest": str(record["digest"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(run, error) from error


def damaged(run: Path, error: object) -> LearnedOptimizerError:
    """The complaint about the last checkpoint, which says how to go on from the one before."""
    steps = committed(run)
    earlier = f"; to go on from step {steps[-2]}, remove {record_path(run, steps[-1])}" if len(steps) > 1 else ""
    return LearnedOptimizerError(f"checkpoint {steps[-1]} in {run} is damaged: {' '.join(str(error).split())[:200]}{earlier}")


def write_atomic(path: Path, text: str) -> None:
    """Replace a small file in one step."""
    temporary = path.with_name(f".{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
