"""Checkpoints of a meta-training run: arrays by orbax, and beside them a record, whose appearance is what commits them.

`checkpoints/<step>/` holds the arrays, `checkpoints/<step>.json` their digest and what else the run knows. A kill at any moment leaves
the last committed pair; the one before is kept too, in case a disk damages the newest.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from meta_train.checkpoint_files import committed, damaged, newest_record, record_path, write_atomic
from meta_train.errors import LearnedOptimizerError
from meta_train.problem import PyTree

KEEP = 2


def save(run: Path, step: int, tree: PyTree, record: dict[str, Any]) -> None:
    """Commit the arrays of `tree` and the record as the checkpoint of `step`, and drop all but the last two."""
    import orbax.checkpoint as ocp

    path = record_path(run.absolute(), step)
    path.unlink(missing_ok=True)  # the same step again, at the end of a run: an earlier checkpoint leads to the same arrays
    arrays = path.with_suffix("")
    if arrays.exists():  # written by a run that was killed before it committed
        shutil.rmtree(arrays)
    plain = _plain(tree)
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(arrays, {str(i): leaf for i, leaf in enumerate(plain)})
    write_atomic(path, json.dumps({**record, "step": step, "digest": _digest(plain)}))
    for old in committed(run)[:-KEEP]:
        record_path(run, old).unlink()
        shutil.rmtree(record_path(run, old).with_suffix(""), ignore_errors=True)


def restore(run: Path, like: PyTree) -> tuple[PyTree, dict[str, Any]]:
    """The last checkpoint as a tree of the structure, shapes and shardings of `like`, and its record.

    Raises `LearnedOptimizerError` where there is none or it is damaged; nothing is changed.
    """
    import orbax.checkpoint as ocp

    record = newest_record(run)
    if not record:
        raise LearnedOptimizerError(f"{run} has no checkpoint")
    leaves, structure = jax.tree.flatten(like)
    wanted = {str(i): leaf for i, leaf in enumerate(_plain(like))}
    try:
        with ocp.StandardCheckpointer() as checkpointer:
            found = checkpointer.restore(record_path(run.absolute(), record["step"]).with_suffix(""), wanted)
    except Exception as error:  # orbax raises whatever its storage does
        raise damaged(run, error) from error
    plain = [found[str(i)] for i in range(len(wanted))]
    if _digest(plain) != record["digest"]:
        raise damaged(run, "the arrays are not those that were written")
    keys = [_is_key(leaf) for leaf in leaves]
    restored = [jax.random.wrap_key_data(new) if key else new for key, new in zip(keys, plain, strict=True)]
    return structure.unflatten(restored), record


def _plain(tree: PyTree) -> list[jax.Array]:
    """The leaves, random keys as their words."""
    return [jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in jax.tree.leaves(tree)]


def _is_key(leaf: jax.Array) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _digest(leaves: list[jax.Array]) -> str:
    digest = hashlib.sha256()
    for leaf in leaves:
        array = np.asarray(leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
