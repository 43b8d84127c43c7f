"""A calibration in a folder: units of work on worker processes, one file for each, written atomically; what is there is not done again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from discover.atomic import write_text_atomic
from discover.calibrate.plan import FAMILIES, Plan, Size, Unit, cost, units
from discover.calibrate.statistics import Version
from discover.errors import JobError, UserError
from discover.evaluate.jobs import hypers_of
from discover.evaluate.protocol import Protocol
from discover.evaluate.trials import Request
from discover.executor import Executor, Outcome, ProcessExecutor
from search_space import zoo

STAGES: tuple[tuple[Size, ...], ...] = (("small", "micro"), ("medium",))
Say = Callable[[str], None]
_worker: list[dict[str, Any]] = []


def start_worker(plan: dict[str, Any]) -> None:
    """Prepare this process for units of a plan (`Plan.to_json`)."""
    _worker[:] = [plan]


def run_unit(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Measure a unit (its fields): for each rule its rates [L], valid and test [L][S], and seconds."""
    import jax

    jax.clear_caches()  # compiled programs of fifty versions would fill the memory
    unit = Unit(**{**payload, "rules": tuple(payload["rules"]), "centres": tuple(payload["centres"])})
    return [_measure(_plan(_worker[0]), unit, rule, unit.centres[i] if unit.centres else None) for i, rule in enumerate(unit.rules)]


def _plan(data: dict[str, Any]) -> Plan:
    fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items() if k != "versions"}
    return Plan(**fields)


def _measure(plan: Plan, unit: Unit, rule: str, centre: float | None) -> dict[str, Any]:
    from discover.evaluate.measure import Trainer  # jax belongs to workers

    version = FAMILIES[unit.family][unit.size]
    protocol = Protocol(tune_seeds=1, seeds=plan.seeds, evals=1, members=plan.members)
    trainer = Trainer(version.spec, version.steps, protocol, plan.seed, tuple(zoo.text(name) for name in plan.rules))
    text = zoo.text(rule)
    hypers = tuple((hyper.name, hyper.default) for hyper in hypers_of(text))
    start = time.perf_counter()
    if centre is None:
        grid = plan.grid()
        (answer,) = trainer.measure(text, [Request(hypers, grid, (0,) * len(grid), True)])
        centre = grid[int(np.argmin(answer.valid))]
    rates = plan.around(centre, unit.size)
    draws = tuple(range(1, plan.seeds + 1))
    (answer,) = trainer.measure(text, [Request(hypers, tuple(r for r in rates for _ in draws), draws * len(rates), True)])
    found = {name: np.array(getattr(answer, name)).reshape(len(rates), plan.seeds).tolist() for name in ("valid", "test")}
    return {"rule": rule, "rates": list(rates), **found, "seconds": time.perf_counter() - start}


class Calibration:
    """The folder of a calibration: `plan.json` and `units/`."""

    def __init__(self, folder: str | Path, plan: Plan | None = None) -> None:
        """Open a folder: a new one with a plan, or one that holds a calibration, whose plan must be the same where one is given.

        Raises `UserError` for another plan, or one whose versions were changed since.
        """
        self.folder = Path(folder)
        path = self.folder / "plan.json"
        stored = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
        if plan is None:
            if stored is None:
                raise UserError(f"{folder} holds no calibration yet")
            plan = _plan(stored)
        self.plan = plan
        wanted = json.loads(json.dumps(self.plan.to_json()))
        if stored is not None and stored != wanted:
            raise UserError(f"{folder} holds a calibration with another plan or older versions of tasks: give another folder")
        if stored is None:
            (self.folder / "units").mkdir(parents=True, exist_ok=True)
            write_text_atomic(path, json.dumps(wanted, indent=1) + "\n")

    def read(self, unit: Unit) -> list[dict[str, Any]] | None:
        """What was measured for a unit, if it was."""
        path = self._path(unit)
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def write(self, unit: Unit, found: list[dict[str, Any]]) -> None:
        """Commit a unit."""
        write_text_atomic(self._path(unit), json.dumps(found) + "\n")

    def _path(self, unit: Unit) -> Path:
        return self.folder / "units" / f"{unit.name}.json"

    def rows(self, family: str, size: Size) -> list[dict[str, Any]] | None:
        """The rows of a version, in the order of the rules; None unless all are there."""
        parts = [self.read(unit) for unit in units(self.plan, (size,)) if unit.family == family]
        return [row for part in parts for row in part or []] if parts and all(part is not None for part in parts) else None

    def version(self, family: str, size: Size) -> Version | None:
        """The losses of a version, if all rules were measured on it."""
        rows = self.rows(family, size)
        return None if rows is None else Version(*(np.array([row[name] for row in rows], np.float64) for name in ("valid", "test")))

    def best_rates(self, family: str) -> dict[str, float]:
        """The best rate of each rule on the small version."""
        rows = self.rows(family, "small") or []
        return {row["rule"]: row["rates"][int(np.argmin(np.mean(row["valid"], axis=1)))] for row in rows}


def run(calibration: Calibration, workers: int, say: Say) -> None:
    """Measure what is missing; the medium versions after the small ones, which give their rates."""
    plan = calibration.plan
    with ProcessExecutor(workers, "discover.calibrate.run:start_worker", plan.to_json()) as executor:
        for sizes in STAGES:
            _stage(calibration, [_centred(calibration, unit) for unit in units(plan, sizes)], executor, say)


def _centred(calibration: Calibration, unit: Unit) -> Unit:
    if unit.size != "medium":
        return unit
    rates = calibration.best_rates(unit.family)
    return replace(unit, centres=tuple(rates[rule] for rule in unit.rules))


def _stage(calibration: Calibration, wanted: Sequence[Unit], executor: Executor, say: Say) -> None:
    left = [unit for unit in wanted if calibration.read(unit) is None]
    start, done = time.monotonic(), 0.0
    total = sum(cost(calibration.plan, unit.family, unit.size) * len(unit.rules) for unit in left)

    def on_done(index: int, outcome: Outcome) -> None:
        nonlocal done
        if outcome.reason != "ok":
            raise JobError(f"{left[index].name}: {outcome.reason}: {outcome.message}")
        calibration.write(left[index], outcome.value)
        done += cost(calibration.plan, left[index].family, left[index].size) * len(left[index].rules)
        passed = time.monotonic() - start
        rest = passed * (total - done) / max(done, 1e-9)
        say(f"{left[index].name}: {outcome.seconds:.1f} s; {done / total:.0%} of this stage, about {rest:.0f} s left")

    executor.map("discover.calibrate.run:run_unit", [asdict(unit) for unit in left], on_done)
