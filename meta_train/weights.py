"""Trained meta-parameters as files: `theta.npz` with the arrays, `card.json` with the architecture and where they come from."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from meta_train.errors import LearnedOptimizerError
from meta_train.registry import load as load_optimizer

if TYPE_CHECKING:
    from meta_train.contracts import LearnedOptimizer
    from meta_train.problem import PyTree

ARRAYS, CARD = "theta.npz", "card.json"
FORMAT = 1


def save(folder: Path, optimizer: LearnedOptimizer, theta: PyTree, card: dict[str, Any]) -> None:
    """Write both files; `card` is whatever else should be known about them."""
    from meta_train.checkpoint_files import write_atomic

    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{ARRAYS}.new.npz"
    arrays: dict[str, Any] = {name: np.asarray(leaf) for name, leaf in _named(theta)}
    np.savez(temporary, **arrays)
    temporary.replace(folder / ARRAYS)
    write_atomic(folder / CARD, json.dumps({"format": FORMAT, "optimizer": optimizer.name, **card}, indent=1))


def read_card(folder: Path) -> dict[str, Any]:
    """What is known about the weights in a folder; raises `LearnedOptimizerError` where there are none."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LearnedOptimizerError(f"{folder} holds no trained weights: it has no {CARD}") from None
    except (OSError, ValueError) as error:
        raise LearnedOptimizerError(f"cannot read {folder / CARD}: {error}") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT or not isinstance(card.get("optimizer"), str):
        raise LearnedOptimizerError(f"{folder / CARD} is not a card of trained weights in format {FORMAT}")
    return card


def load(folder: Path, architecture: str | None = None) -> tuple[LearnedOptimizer, PyTree]:
    """The optimizer and its theta; raises `LearnedOptimizerError` where they do not fit, or are not of `architecture` where it is given."""
    import jax

    card = read_card(folder)
    optimizer = load_optimizer(card["optimizer"])
    if architecture is not None and load_optimizer(architecture) != optimizer:
        raise LearnedOptimizerError(f"the weights in {folder} are of {card['optimizer']!r}, not of {architecture!r}")
    like = jax.eval_shape(optimizer.init, jax.random.key(0))
    wanted = dict(_named(like))
    try:
        with np.load(folder / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise LearnedOptimizerError(f"cannot read {folder / ARRAYS}: {' '.join(str(error).split())}") from error
    if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in wanted.items()}:
        raise LearnedOptimizerError(f"the arrays in {folder / ARRAYS} are not those of {card['optimizer']!r}")
    bad = [name for name, array in arrays.items() if not np.all(np.isfinite(array))]
    if bad:
        raise LearnedOptimizerError(f"{folder / ARRAYS} has numbers that are not finite: {', '.join(bad)}")
    return optimizer, jax.tree.unflatten(jax.tree.structure(like), [np.asarray(arrays[name], np.float32) for name in wanted])


def _named(theta: PyTree) -> list[tuple[str, Any]]:
    """Leaves with their paths."""
    import jax

    return [(jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(theta)]
