"""Meta-training: outer steps over a mixture of families, validation, checkpoints; a run that is killed goes on as if it had not been."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from meta_train import checkpoint, run_folder, weights
from meta_train.checkpoint_files import committed
from meta_train.config import MetaConfig
from meta_train.contracts import LearnedOptimizer, OuterLoop
from meta_train.descent import Descent
from meta_train.errors import LearnedOptimizerError
from meta_train.generations import Generations
from meta_train.mixture import schedule
from meta_train.parametrised import Parametrised
from meta_train.problem import PyTree
from meta_train.registry import load as load_optimizer
from meta_train.sharding import make_mesh
from meta_train.validation import Trial
from tasks.registry import load as load_family
from tasks.streams import derive

CHECKPOINT_SECONDS = 20.0
_THETA, _LOOP, _TRIALS = 0, 1, 2


@dataclass(frozen=True)
class Report:
    """Where a run stands."""

    step: int
    steps: int
    loss: float
    score: float | None
    inner_steps_per_s: float
    seconds_left: float | None


Reports = Callable[[Report], None]


@dataclass
class Record:
    """What a run knows besides its arrays; stored with each checkpoint."""

    step: int = 0
    seconds: float = 0.0
    inner_steps: int = 0
    timed_steps: int = 0
    timed_inner_steps: int = 0
    timed_seconds: float = 0.0
    meta_loss: float | None = None
    loss_sum: float = 0.0
    loss_count: int = 0
    best_score: float | None = None
    best_step: int | None = None
    returns: int = 0
    skipped: int = 0
    adam: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    closing: dict[str, Any] | None = None  # the row of a last step that is not one of validation; a resume knows nothing of it
    devices: int = 1
    status: str = "live"


class Trainer:
    """One run in its folder."""

    def __init__(self, folder: Path, devices: int = 1, reports: Reports = lambda _: None, budget: float | None = None) -> None:
        """Begin, or go on from the last checkpoint; `budget` replaces the configuration's seconds."""
        self.config = config = run_folder.read_config(folder)
        if config.particles % devices:
            raise LearnedOptimizerError(f"{config.particles} particles cannot be spread over {devices} devices: the number must divide")
        self.folder, self._reports = folder, reports
        self._budget = config.budget_seconds if budget is None else budget
        self.optimizer: LearnedOptimizer = load_optimizer(config.optimizer)
        root = jax.random.key(config.seed)
        self._trials = _trials(config, self.optimizer, derive(root, _TRIALS))
        self._loop = _outer_loop(config, self.optimizer, root, devices)
        self.best = self._loop.theta
        self.record = Record(devices=devices)
        if committed(folder):
            self._restore()

    def train(self, checkpoint_every: int | None = None) -> Record:
        """Go on to the last outer step or the end of the budget; checkpoints are made now and then, or every so many outer steps."""
        saved, start, before = time.monotonic(), time.monotonic(), self.record.seconds
        try:
            while self.record.step < self.config.outer_steps and not self._out_of_time():
                self._step()
                if self.record.step % self.config.validate_every == 0:
                    self._validate()
                self.record.seconds = before + time.monotonic() - start
                due = (
                    time.monotonic() - saved > CHECKPOINT_SECONDS if checkpoint_every is None else self.record.step % checkpoint_every == 0
                )
                if due:
                    self.save()
                    saved = time.monotonic()
                self._report()
        except KeyboardInterrupt:
            self.record.status = "interrupted"
            self.save()
            raise
        self._close()
        self.record.seconds = before + time.monotonic() - start
        self.record.status = "finished" if self.record.step >= self.config.outer_steps else "out of time"
        self.save()
        return self.record

    def save(self) -> None:
        """Commit a checkpoint of this moment."""
        self.record.skipped = self._loop.skipped
        checkpoint.save(self.folder, self.record.step, self._arrays(), vars(self.record))

    def _step(self) -> None:
        """One outer step."""
        record, start = self.record, time.monotonic()
        loss, inner, compiled = self._loop.step(record.step)
        record.step += 1
        record.inner_steps += inner
        record.loss_sum, record.loss_count = record.loss_sum + loss, record.loss_count + 1
        if compiled:
            record.timed_steps += 1
            record.timed_inner_steps += inner
            record.timed_seconds += time.monotonic() - start

    def _validate(self) -> None:
        """Add a row to the curve, keep theta if it is the best, and return to the best if it is far worse."""
        record, row = self.record, self._row()
        score, record.meta_loss = row["validation_score"], row["meta_loss"]
        record.curve.append(row)
        record.loss_sum, record.loss_count = 0.0, 0
        if record.best_score is None or score < record.best_score:
            record.best_score, record.best_step, self.best = score, record.step, self._loop.theta
            self._save_weights(row)
        elif score > record.best_score + self.config.guard:
            self._loop.back_to(self.best)
            record.returns += 1
        run_folder.write_curve(self.folder, record.curve)

    def _close(self) -> None:
        """Score the last theta, too, without a trace in what a resume goes on from."""
        record = self.record
        if not record.curve or record.curve[-1]["outer_step"] != record.step:
            record.closing = row = self._row()
            run_folder.write_curve(self.folder, [*record.curve, row])
            if record.best_score is None or row["validation_score"] < record.best_score:
                self._save_weights(row)

    def _row(self) -> dict[str, Any]:
        """The scores of theta now, as a row of the curve."""
        record, config = self.record, self.config
        theta, scores = jax.device_get(self._loop.theta), {}  # trials run on one device
        for name, trial in self._trials.items():
            if name not in record.adam:
                record.adam[name] = trial.adam()
            scores[name] = trial.theta(theta) - record.adam[name]
        trained = [scores[name] for name in config.tasks if name in scores]
        chosen = [scores[name] for name in config.validation] or trained
        return {
            "outer_step": record.step,
            "seconds": round(record.seconds, 1),
            "inner_steps": record.inner_steps,
            "meta_loss": record.loss_sum / max(1, record.loss_count),
            "train_score": _mean(trained),
            "validation_score": _mean(chosen),
            **scores,
        }

    def _save_weights(self, row: dict[str, Any]) -> None:
        card = {"score": row["validation_score"], "outer_step": row["outer_step"], "config": self.config.to_json()}
        weights.save(self.folder / run_folder.WEIGHTS, self.optimizer, self._loop.theta, card)

    def _arrays(self) -> PyTree:
        return {"best": self.best, **self._loop.arrays}

    def _restore(self) -> None:
        arrays, record = checkpoint.restore(self.folder, self._arrays())
        self._loop.restore(arrays)
        self.best = arrays["best"]
        self.record = Record(**{name: record[name] for name in vars(self.record)})
        self.record.closing, self.record.status = None, "live"

    def _out_of_time(self) -> bool:
        return self._budget is not None and self.record.seconds >= self._budget

    def _report(self) -> None:
        record, config = self.record, self.config
        left = None if self._budget is None else self._budget - record.seconds
        if record.timed_steps:
            rest = (config.outer_steps - record.step) * record.seconds / record.step
            left = rest if left is None else min(left, rest)
        speed = record.timed_inner_steps / record.timed_seconds if record.timed_seconds else 0.0
        loss = record.loss_sum / record.loss_count if record.loss_count else record.meta_loss or 0.0
        score = record.curve[-1]["validation_score"] if record.curve else None
        self._reports(Report(record.step, config.outer_steps, loss, score, speed, left))


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _trials(config: MetaConfig, optimizer: LearnedOptimizer, key: jax.Array) -> dict[str, Trial]:
    """Validation families, and the first training families, whose scores show what is memorised."""
    specs = dict.fromkeys((*config.validation, *config.tasks[: config.scored_tasks]))

    def trial(number: int, spec: str) -> Trial:
        draw = derive(key, number)
        return Trial(
            Parametrised(load_family(spec), config.parametrisation),
            optimizer,
            draw,
            config.validation_draws,
            config.validation_steps,
            schedule(config),
        )

    return {spec: trial(number, spec) for number, spec in enumerate(specs)}


def _outer_loop(config: MetaConfig, optimizer: LearnedOptimizer, root: jax.Array, devices: int) -> OuterLoop:
    """At the beginning of a run."""
    theta, key = _first_theta(config, optimizer, derive(root, _THETA)), derive(root, _LOOP)
    if config.strategy is None:
        return Descent(config, optimizer, theta, key, make_mesh(devices))
    if devices > 1:
        raise LearnedOptimizerError(f"{config.estimator} works on one device, not on {devices}")
    return Generations(config, optimizer, theta, key)


def _first_theta(config: MetaConfig, optimizer: LearnedOptimizer, key: jax.Array) -> PyTree:
    """Fresh meta-parameters, or those of `config.start`."""
    if config.start is not None:
        return jax.tree.map(jnp.asarray, weights.load(Path(config.start), config.optimizer)[1])
    return jax.jit(lambda key: optimizer.init(key))(key)
