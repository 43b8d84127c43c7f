"""Trained weights that ship with the package: a folder for each, with `theta.npz` and `card.json` (architecture, recipe, scores)."""

from __future__ import annotations

from pathlib import Path

from meta_train.errors import LearnedOptimizerError
from meta_train.weights import CARD

_HERE = Path(__file__).parent


def names() -> tuple[str, ...]:
    """The shipped weights, sorted."""
    return tuple(sorted(path.parent.name for path in _HERE.glob(f"*/{CARD}")))


def folder(source: str | Path) -> Path:
    """Where the weights of a shipped name are, or the folder itself. Raises `LearnedOptimizerError` for what is neither."""
    if str(source) in names():
        return _HERE / str(source)
    path = Path(source)
    if not (path / CARD).is_file():
        raise LearnedOptimizerError(
            f"{str(source)!r} is neither shipped weights nor a folder with {CARD}; shipped: {', '.join(names()) or 'none'}"
        )
    return path
