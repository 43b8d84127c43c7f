"""The page docs/tasks.md: every task family, and what was checked of it, measured now: `python -m benchmarks.families [NAME …]`.

Families that take long to compile are in a small form, which the page states. About 6 minutes on one core; names measure only those and
print, without writing the page; `--page` rewrites what is not measured.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from tyro.conf import Positional

from tasks.batch import TaskBatch
from tasks.external import SOURCES
from tasks.registry import BUILTINS, installed, names
from tasks.splits import use_of
from tests.tasks import family_checks as checks
from tests.tasks.known_optima import KNOWN

PAGE = Path(__file__).parents[1] / "docs" / "tasks.md"
HEAD = """# Task families

Written by `python -m benchmarks.families`; a test keeps the first table complete. A family is named as `--task NAME`, its parameters
follow as `NAME?width=64&batch=32`. *Use* is what it may serve: a *search* may see it, *meta-validation* chooses among results, *held-out*
families only report. `vary` 0 is the plain task, 1 the full range of configurations.

Data that is not installed is looked for in the folder `DISCOVER_DATA`, else `~/.cache/optimizer-discovery/data`. `discover data` lists
it and `discover data NAME` fetches it there; or put it there by hand: `NAME.npz` with `x_train`, `y_train`, `x_test`, `y_test`, the
published files (`fashion_mnist/train-images-idx3-ubyte` …, gzipped or not; `cifar10/data_batch_1.bin` …), `newsgroups.txt`, `text.txt`.
"""
MEASURED = """
## Checked

*Gradient*: relative difference between the gradient and a central difference along a random direction, in float64. *Batched*: largest
difference between a gradient inside a batch of six trainings and the same alone, relative to its norm. *Same*: weights and minibatches
are equal for equal keys, different for others. *Optimum*: the lowest loss that is possible, where it is known, and the loss at weights
that reach it. *Adam*: loss on validation data before and after 100 steps at the best of three learning rates, mean of two seeds, and the
share of the initial loss that must be reached. *MFLOP*: of one gradient step, as XLA counts them.
"""
COLUMNS = ("family", "gradient", "batched", "same", "optimum", "at it", "Adam: rate", "before", "after", "must reach", "MFLOP")


class Row(NamedTuple):
    """Figures of one family; NaN where there is none."""

    spec: str
    gradient: float
    batched: float
    same: bool
    optimum: float
    at_optimum: float
    rate: float
    before: float
    after: float
    bar: float
    mflop: float

    @property
    def good(self) -> bool:
        """Whether every bar is met."""
        misses = (
            self.gradient > 1e-5,
            self.batched > 1e-5,
            not self.same,
            abs(self.at_optimum - self.optimum) > 1e-5,
            self.after > self.bar,
        )
        return not any(misses)


def measure(name: str) -> Row:
    """Check one family."""
    made = checks.make(name)
    gradient = np.nan
    if name not in checks.GAMES:
        by_gradient, by_difference = checks.slopes(name)
        gradient = abs(by_gradient - by_difference) / max(abs(by_difference), 1e-6)
    stated = made.family.task(checks.at(made.plain, 0)).optimum
    rate, before, after, bar = _adam(name)
    batched, mflop = _batched(made)
    optimum = np.nan if stated is None else float(stated)
    return Row(checks.spec(name), gradient, batched, _same(made), optimum, _at_optimum(name, made), rate, before, after, bar, mflop)


def _adam(name: str) -> tuple[float, float, float, float]:
    """Rate, losses before and after, and the bar; games are trained elsewhere."""
    if name not in checks.TRAINED:
        return np.nan, np.nan, np.nan, np.nan
    middle, share = checks.TRAINED[name]
    runs = {}
    for rate in (middle / 3, middle, middle * 3):
        pairs = [checks.trained(checks.make(name), rate, jax.random.key(seed))[:2] for seed in (1, 2)]
        runs[rate] = np.mean(pairs, axis=0)
    best = min(runs, key=lambda rate: runs[rate][1] if np.isfinite(runs[rate][1]) else np.inf)
    return best, *runs[best], share * runs[best][0]


def _same(made: checks.Made) -> bool:
    """Equal keys, equal weights and minibatches; other keys, others."""
    config = checks.at(made.varied, 0)
    first, again, other = (made.setup(config, jax.random.key(seed))[:2] for seed in (5, 5, 6))

    def equal(a, b) -> list[bool]:
        return jax.tree.leaves(jax.tree.map(lambda x, y: bool(jnp.all(x == y)), a, b))

    return all(equal(first, again)) and not all(equal(first[0], other[0])) and not all(equal(first[1], other[1]))


def _at_optimum(name: str, made: checks.Made) -> float:
    if name not in KNOWN:
        return np.nan
    config, key = checks.at(made.plain, 1), jax.random.key(4)
    return float(made.loss(config, KNOWN[name](config), made.setup(config, key)[2], key))


def _batched(made: checks.Made) -> tuple[float, float]:
    """Difference of a member's gradient from the same gradient alone, and the operations of the latter in millions."""
    keys = jax.random.split(jax.random.key(9), (3, 2))
    batch = TaskBatch(made.family, made.varied, keys, jnp.asarray([0.1]))
    start = jax.jit(batch.init, compiler_options=checks.FAST)()
    gradients = jax.jit(batch.gradients, compiler_options=checks.FAST)(start, 3)
    alone, worst, mflop = None, 0.0, np.nan
    for member in range(6):
        task, seed = divmod(member, 2)
        one = batch.select(slice(task, task + 1), slice(seed, seed + 1))
        params = jax.tree.map(lambda leaf, member=member: leaf[member : member + 1], start)
        if alone is None:
            alone = jax.jit(TaskBatch.gradients, compiler_options=checks.FAST).lower(one, params, 3).compile()
            mflop = (alone.cost_analysis() or {}).get("flops", np.nan) / 1e6
        mine = jax.tree.map(lambda leaf, member=member: leaf[member : member + 1], gradients)
        both = [np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)]) for tree in (mine, alone(one, params, 3))]
        worst = max(worst, float(np.linalg.norm(both[0] - both[1]) / max(np.linalg.norm(both[1]), 1e-12)))
    return worst, mflop


def cells(row: Row) -> list[str]:
    """A row as text."""
    shown = ["" if isinstance(x, float) and np.isnan(x) else f"{x:.3g}" if isinstance(x, float) else str(x) for x in row]
    return [f"`{shown[0]}`", *shown[1:3], "yes" if row.same else "NO", *shown[4:]]


def describe(name: str) -> str:
    """One line of the first table: what, its data, use and parameters, read from the family."""
    entry = BUILTINS[name]
    family = getattr(import_module(entry.module), entry.family)
    text = " ".join(inspect.getdoc(family).split("\n\n")[0].split()).replace("|", "\\|")
    fixed = ", ".join(f"{key} {value}" for key, value in entry.fixed.items())
    defaults = {field.name: field.default for field in fields(family)}
    parameters = ", ".join(f"{key} {defaults[key]}" for key in entry.parameters)
    source = SOURCES[entry.needs] if entry.needs else None
    needs = "installed" if source is None else f"`discover data {entry.needs}`" if source.origin else f"your {source.files[0]}"
    return f"| `{name}` | {text}{f' Here: {fixed}.' if fixed else ''} | {needs} | {use_of(name)} | {parameters} |"


def catalogue() -> str:
    """The first table."""
    head = "| family | what | data | use | parameters |\n|---|---|---|---|---|"
    return "\n".join([HEAD, head, *map(describe, names())])


def recorded() -> str:
    """The measured part of the page."""
    return MEASURED + PAGE.read_text(encoding="utf-8").partition(MEASURED)[2]


def main(families: Positional[tuple[str, ...]] = (), *, page: bool = False) -> None:
    """Measure families and print one table; for all of them write the page too. With `page` only rewrite what is not measured."""
    if page:
        PAGE.write_text(f"{catalogue()}\n{recorded()}", encoding="utf-8")
        return
    chosen = families or installed()
    lines = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    print("\n".join(lines), flush=True)
    missed = []
    for name in chosen:
        row = measure(name)
        missed += [] if row.good else [name]
        lines.append(f"| {' | '.join(cells(row))} |")
        print(lines[-1], flush=True)
    print(f"\n{len(chosen) - len(missed)} of {len(chosen)} families meet every bar" + (f"; missed: {', '.join(missed)}" if missed else ""))
    if not families:
        PAGE.write_text("\n".join([catalogue() + "\n" + MEASURED, *lines]) + "\n", encoding="utf-8")


if __name__ == "__main__":
    tyro.cli(main)
