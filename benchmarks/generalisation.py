"""Learned optimizers beyond their meta-training: `python -m benchmarks.generalisation --out FILE NAME=WEIGHTS:PARAMETRISATION …`.

The protocol is `benchmarks.generalisation_protocol`. NAME is what the table calls it, WEIGHTS a folder that `discover meta-train` wrote or
a name of shipped weights, PARAMETRISATION one of mup (the tables of `search_space.mup`), mulo (the same without the gradient's pre-scale,
as arXiv 2406.00153 publishes it) and sp (none). Results are appended to FILE as lines of JSON; a cell that is there is not run again, so
that a run that was stopped continues; a copy of `benchmarks/generalisation_adam.jsonl` as FILE spares the hour that Adam's rows take.
`--part growth|heldout`, `--share I/N` (every N-th cell, for N processes), `--table` prints.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.generalisation_protocol import ADAM_RATES, ADAM_SCHEDULES, GROWTH, HELD_OUT, SEEDS, TUNING_SEEDS, Cell
from benchmarks.generalisation_table import table
from meta_train import pretrained, weights
from meta_train.contracts import LearnedOptimizer, Scales
from meta_train.mup.tables import learned_scales
from search_space.mup import scale_init
from tasks.batch import TaskBatch
from tasks.contracts import Schedule, Task, TaskFamily, from_optax
from tasks.registry import load
from tasks.rollout import rollout

EVALS = 20
MEMBERS = 2e7  # weights of all members that train at once
PARTS = {"growth": GROWTH, "heldout": HELD_OUT}


@dataclass(frozen=True)
class Parametrised:
    """A family whose initial weights follow a parametrisation."""

    family: TaskFamily
    parametrisation: str

    @property
    def name(self) -> str:
        return self.family.name

    def sample(self, key: jax.Array) -> Any:
        return self.family.sample(key)

    def task(self, config: Any) -> Task:
        task = self.family.task(config)
        return replace(task, init=lambda key: scale_init(task.init(key), task.metadata, self.parametrisation))


@dataclass(frozen=True)
class Learned:
    """A trained optimizer under a parametrisation."""

    optimizer: LearnedOptimizer
    theta: Any
    parametrisation: str
    schedule: str
    rate: float

    @classmethod
    def read(cls, text: str) -> Learned:
        folder, _, parametrisation = text.rpartition(":")
        path = pretrained.folder(folder)
        optimizer, theta = weights.load(path)
        config = weights.read_card(path).get("config", {})
        return cls(optimizer, theta, parametrisation, config.get("schedule", "constant"), config.get("inner_rate", 1.0) * optimizer.rate)

    def family(self, family: TaskFamily) -> TaskFamily:
        return Parametrised(family, "sp" if self.parametrisation == "sp" else "mup")

    def scales(self, task: Task) -> Scales:
        if self.parametrisation == "sp":
            return Scales()
        found = learned_scales(task.metadata, "mup")
        return found._replace(gradient=None) if self.parametrisation == "mulo" else found


def main() -> None:
    """Run what is missing, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("learned", nargs="*", help="NAME=WEIGHTS:PARAMETRISATION")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", choices=tuple(PARTS), action="append")
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        index, count = (int(x) for x in options.share.split("/"))
        cells = [cell for part in options.part or PARTS for cell in PARTS[part]]
        entrants = {name: Learned.read(rest) for name, _, rest in (text.partition("=") for text in options.learned)}
        for cell in cells[index::count]:
            _run(cell, entrants, options.out)
    print(table(_read(options.out)))


def _run(cell: Cell, entrants: dict[str, Learned], out: Path) -> None:
    key = [cell.axis, cell.factor, cell.task, cell.steps]
    done = {row["who"] for row in _read(out) if row["cell"] == key}
    jobs: dict[str, Callable[[], dict[str, Any]]] = {"adam": partial(_adam, cell)}
    jobs |= {name: partial(_learned, cell, entrant) for name, entrant in entrants.items()}
    for who in [name for name in jobs if name not in done]:
        row = {"cell": key, "who": who, **jobs[who]()}
        with out.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(f"{cell.task} {cell.steps} {who}: {np.mean(row['test']):.4g} in {row['seconds']:.1f} s", flush=True)


def _adam(cell: Cell) -> dict[str, Any]:
    family = load(cell.task)
    tuned = {}
    for kind in ADAM_SCHEDULES:
        train = _trainer(family, Schedule(kind), cell.steps, lambda rate, task: optax.adam(rate))
        found = [train(0, TUNING_SEEDS, rates) for rates in _chunks(family, TUNING_SEEDS)]
        for rate, losses in zip(ADAM_RATES, np.concatenate([f["valid"] for f in found], axis=-1).mean(axis=(0, 1)), strict=True):
            tuned[kind, rate] = float(losses) if np.isfinite(losses) else np.inf
    kind, rate = min(tuned, key=lambda choice: tuned[choice])
    train = _trainer(family, Schedule(kind), cell.steps, lambda rate, task: optax.adam(rate))
    return _row(train(1, SEEDS, (rate,)), family) | {"rate": rate, "schedule": kind}


def _learned(cell: Cell, entrant: Learned) -> dict[str, Any]:
    family = entrant.family(load(cell.task))

    def make(rate: jax.Array, task: Task) -> optax.GradientTransformation:
        return entrant.optimizer.transform(entrant.theta, learning_rate=rate, scales=entrant.scales(task), num_steps=cell.steps)

    train = _trainer(family, Schedule(entrant.schedule), cell.steps, make)
    return _row(train(1, SEEDS, (entrant.rate,)), family) | {"rate": entrant.rate, "schedule": entrant.schedule}


def _trainer(family: TaskFamily, schedule: Schedule, steps: int, make: Callable[..., Any]) -> Callable[..., dict[str, np.ndarray]]:
    """(stream, seeds, rates) → losses [1, S, L], curve [1, S, L, E], initial [1, S] and seconds, without compilation."""

    @jax.jit
    def run(batch: TaskBatch) -> dict[str, jax.Array]:
        task = batch.task()
        done = rollout(
            batch, from_optax(lambda rate: make(rate, task)), steps=steps, schedule=schedule, evals=EVALS, splits=("valid", "test")
        )
        return {**done.final, "curve": done.curve, "initial": done.initial}

    def train(stream: int, seeds: int, rates: Sequence[float]) -> dict[str, np.ndarray]:
        key = jax.random.fold_in(jax.random.key(20261122), stream)
        batch = TaskBatch.create(family, key, learning_rates=rates, seeds=seeds)
        compiled = run.lower(batch).compile()
        start = time.perf_counter()
        found = jax.block_until_ready(compiled(batch))
        return {name: np.asarray(leaf) for name, leaf in found.items()} | {"seconds": np.asarray(time.perf_counter() - start)}

    return train


def _chunks(family: TaskFamily, seeds: int) -> list[tuple[float, ...]]:
    """The rates in groups that fit into memory, all of one size but the last."""
    size = sum(x.size for x in jax.tree.leaves(jax.eval_shape(family.task(family.sample(jax.random.key(0))).init, jax.random.key(0))))
    each = int(np.clip(MEMBERS / size / seeds, 1, len(ADAM_RATES)))
    return [ADAM_RATES[i : i + each] for i in range(0, len(ADAM_RATES), each)]


def _row(found: dict[str, np.ndarray], family: TaskFamily) -> dict[str, Any]:
    optimum = family.task(family.sample(jax.random.key(0))).optimum
    return {
        "test": [float(x) for x in found["test"].ravel()],
        "valid": [float(x) for x in found["valid"].ravel()],
        "initial": float(found["initial"].mean()),
        "curve": [float(x) for x in found["curve"].mean(axis=(0, 1, 2))],
        "optimum": float(jnp.asarray(optimum)) if optimum is not None else 0.0,
        "seconds": float(found["seconds"]),
    }


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
