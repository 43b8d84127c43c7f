"""How rules are compared, as data: stored with a run, which it re-runs. Imports no jax.

A *cell* is rule × task × schedule. Every cell gets the same trials on validation data (`Protocol.trials`), then one measurement on fresh
seeds that no trial has seen. Steps of a task are equal for all rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from discover.errors import UserError

SCHEDULES = ("constant", "cosine")
"""No schedule; and linear warm-up, then half a cosine."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """The budget of a cell.

    `coarse` learning rates on a log grid from `low` to `high` with the rule's default hyperparameters; then `variants` draws of up to two
    hyperparameters, each with `around` rates about the best one so far, moved by a share of a step from draw to draw (a rule
    without hyperparameters thus spends these trials on finer rates). So far each trial trains on one draw of the task; then `refine`
    rates close to the best (variant, rate) train on `tune_seeds` draws each, so that no rate on the brink of divergence is chosen by
    luck. `seeds` fresh draws give the final figures, with `evals` validations on the way.
    """

    low: float = 1e-5
    high: float = 10**1.5
    coarse: int = 12
    variants: int = 2
    around: int = 6
    refine: int = 6
    tune_seeds: int = 3
    seeds: int = 5
    evals: int = 10
    schedules: tuple[str, ...] = SCHEDULES
    warmup: float = 0.05
    """Share of the steps that the cosine schedule warms up for."""
    reference: str = "adamw"
    """The rule whose final validation loss is everyone's target; it is always measured."""
    members: int = 6
    """Trainings side by side in one batch; affects speed and rounding, not what is measured."""

    @property
    def trials(self) -> int:
        """Choices of hyperparameters and rate that are tried for one cell."""
        return self.coarse + self.variants * self.around + self.refine

    @property
    def trainings(self) -> int:
        """All trainings of one cell."""
        return self.trials + self.refine * (self.tune_seeds - 1) + self.seeds

    @property
    def step(self) -> float:
        """Ratio of neighbouring rates of the coarse grid."""
        return (self.high / self.low) ** (1.0 / max(1, self.coarse - 1))


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A rule by the name that tables show, with its text, since a file may change."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """A task spec and the steps of each training on it; `microseconds` a step, measured once, serve the first estimate of time only."""

    spec: str
    steps: int
    microseconds: float = 500.0


@dataclass(frozen=True, slots=True)
class EvaluationConfig:
    """Everything that determines the numbers of a run: the same configuration gives the same ones for any number of workers.

    `batch` rules share one job, the unit that is committed.
    """

    rules: tuple[NamedRule, ...]
    tasks: tuple[TaskPlan, ...]
    protocol: Protocol = Protocol()
    seed: int = 0
    batch: int = 4
    preset: str = ""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> EvaluationConfig:
        """The inverse of `to_json`."""
        protocol = Protocol(**{**data["protocol"], "schedules": tuple(data["protocol"]["schedules"])})
        rules = tuple(NamedRule(**rule) for rule in data["rules"])
        tasks = tuple(TaskPlan(**task) for task in data["tasks"])
        return cls(**{**data, "rules": rules, "tasks": tasks, "protocol": protocol})

    def with_reference(self, text: str) -> EvaluationConfig:
        """With the reference rule among the rules, last where it was not asked for. Raises `UserError` where another has its name."""
        for rule in self.rules:
            if rule.name == self.protocol.reference:
                if rule.text != text:
                    raise UserError(f"'{rule.name}' is the name of the rule that sets the target: give your rule another")
                return self
        return replace(self, rules=(*self.rules, NamedRule(self.protocol.reference, text)))
