"""The complete configuration of a meta-training run, as frozen data that is stored with it. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from meta_train import registry
from meta_train.errors import LearnedOptimizerError
from tasks.registry import parse as parse_task
from tasks.splits import refuse_held_out

ESTIMATOR_NAMES = ("backprop", "es_single", "forward", "full_es", "guided_es", "noise_reuse", "pes", "truncated_es")
EVOSAX = "evosax:"
SCHEDULES = ("constant", "cosine")
JUDGED = ("train", "valid")


@dataclass(frozen=True)
class MetaConfig:
    """What is trained, on what, how, for how long; every field but the budget decides the result."""

    optimizer: str = "small_fc"
    """Architecture, see `meta_train.registry`."""
    tasks: tuple[str, ...] = ("digits_mlp",)
    """Families to train on."""
    validation: tuple[str, ...] = ("diabetes_mlp",)
    """Families that choose among checkpoints."""
    seed: int = 0

    estimator: str = "pes"
    """Of the meta-gradient, or evosax:NAME for a strategy that needs none (see `meta_train.blackbox`)."""
    particles: int = 16
    """Inner trainings of each family; of antithetic estimators pairs of them, and half the population of an evosax strategy."""
    steps: int = 20
    """Inner steps of a truncation."""
    sigma: float = 0.01
    """Deviation of the noise on theta."""
    families_per_step: int = 1
    """Families whose gradients are averaged in an outer step, drawn without replacement."""

    shortest: int = 100
    longest: int = 200
    """Lengths of episodes are log-uniform between these."""
    curriculum: int = 0
    """Outer steps over which the longest length grows from the shortest one; 0 allows all lengths from the start."""
    schedule: str = "constant"
    """Schedule of the inner learning rate over an episode."""
    judged: str = "train"
    """Split of the data whose loss theta is judged by."""
    parametrisation: str = "sp"
    """How networks and steps are scaled with the width, see `search_space.mup`."""
    disguise_weights: float = 0.0
    disguise_loss: float = 0.0
    disguise_rate: float = 0.0
    """Decades of re-parametrisation, of the loss's scale and of the learning rate, see `meta_train.augment`."""

    outer_steps: int = 1000
    rate: float = 3e-3
    warmup: int = 20
    final_rate: float = 0.1
    """Share of the peak rate at the end."""
    clip: float = 1.0
    decay: float = 0.0
    validate_every: int = 100
    validation_steps: int = 200
    validation_draws: int = 4
    scored_tasks: int = 1
    """How many of the training families are scored beside the validation families, at least 1 where there are none of those."""
    guard: float = 1.0
    """Return to the best theta where the validation score is worse than the best by this many nats."""

    budget_seconds: float | None = None
    """Ends the run early; decides where the sequence of outer steps is cut, nothing else."""
    start: str | None = None
    """Folder of weights to start from, see `meta_train.weights`."""

    def __post_init__(self) -> None:
        registry.parse(self.optimizer)
        for spec in (*self.tasks, *self.validation):
            parse_task(spec)
        refuse_held_out(spec.partition("?")[0].replace("-", "_") for spec in (*self.tasks, *self.validation))
        _require(bool(self.tasks), "a run needs at least one task")
        allowed = f"{', '.join(ESTIMATOR_NAMES)}, {EVOSAX}NAME of a strategy"
        _require(self.estimator in ESTIMATOR_NAMES or bool(self.strategy), f"unknown estimator {self.estimator!r}, allowed: {allowed}")
        _require(self.judged in JUDGED, f"unknown split {self.judged!r}, allowed: {', '.join(JUDGED)}")
        _require(self.schedule in SCHEDULES, f"unknown schedule {self.schedule!r}, allowed: {', '.join(SCHEDULES)}")
        known = ("sp", "ntp", "mup")
        _require(self.parametrisation in known, f"unknown parametrisation {self.parametrisation!r}, allowed: {', '.join(known)}")
        for name in ("particles", "steps", "shortest", "outer_steps", "validate_every", "validation_steps", "validation_draws"):
            _require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}, allowed: 1 or more")
        _require(self.longest >= self.shortest, f"longest is {self.longest}, allowed: at least shortest, {self.shortest}")
        for name in ("sigma", "rate", "clip", "guard"):
            _require(0 < getattr(self, name) < math.inf, f"{name} is {getattr(self, name)}, allowed: a positive number")
        _require(bool(self.validation) or self.scored_tasks >= 1, "scored_tasks is 0 and there is no validation family: nothing chooses")
        several = len(self.tasks)
        _require(1 <= self.families_per_step <= several, f"families_per_step is {self.families_per_step}, allowed: 1 to {several}")

    @property
    def strategy(self) -> str | None:
        """Name of the evosax strategy, None where an estimator of the gradient is used."""
        return self.estimator.removeprefix(EVOSAX) if self.estimator.startswith(EVOSAX) else None

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> MetaConfig:
        """The inverse of `to_json`; raises `LearnedOptimizerError` for fields that this version does not have."""
        unknown = sorted(set(data) - {f.name for f in fields(cls)})
        _require(not unknown, f"the configuration has unknown fields: {', '.join(unknown)}")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cls(**values)


def _require(condition: bool, complaint: str) -> None:
    if not condition:
        raise LearnedOptimizerError(complaint)
