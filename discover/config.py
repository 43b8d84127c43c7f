"""The complete configuration of a search by training, as data: it is stored with the run and re-runs it. Imports no jax.

How many workers do the work is not part of it: results must not depend on that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from discover.errors import UserError
from search_space.ops import CORE_OPS
from search_space.program import KINDS, Kind
from tasks.errors import TaskError

StrategyName = Literal["evolution", "random", "hyper"]
STRATEGIES = ("evolution", "random", "hyper")
BASELINES = ("sgd", "momentum", "adam", "lion")


def log_grid(low: float, high: float, count: int) -> tuple[float, ...]:
    """`count` learning rates from low to high, evenly spaced in the logarithm."""
    step = math.log(high / low) / max(1, count - 1)
    return tuple(low * math.exp(step * i) for i in range(count))


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """Everything that the result of a search depends on. `None` limits mean no limit; units are in the names."""

    preset: str = "digits"
    tasks: tuple[str, ...] = ("digits_mlp",)
    weights: tuple[float, ...] = ()
    """Of each task's log loss in the score, several times larger on tasks without noise; empty means equal ones."""
    start: tuple[str, ...] = ("sgd",)
    seed: int = 0
    max_proposals: int | None = None
    budget_seconds: float | None = 600.0
    strategy: StrategyName = "evolution"

    # what may be proposed
    ops: tuple[str, ...] = ()
    """Primitives that mutations may insert; empty means `DEFAULT_OPS`."""
    max_slots: int = 4
    max_statements: int = 30
    slot_kinds: tuple[Kind, ...] = ("full", "tensor")

    # evolution
    generation: int = 500
    """Proposals in flight: asked whole, then told whole."""
    population: int = 1000
    tournament: int = 2
    restart_patience: int = 20_000
    """Proposals without a better score before a restart; 0 means never."""
    restart_from: Literal["start", "best"] = "best"

    # filters
    probe_margin: float = 0.05
    """Least fall of the log loss in the closed-loop probe."""
    train_share: float = 0.055
    """Share of proposals that may be trained; the hurdle on the probe's gain follows from it."""
    fingerprint_bits: int = 8
    audit_share: float = 0.01

    # training
    steps: int = 200
    instances: int = 2
    """Task configurations sampled from each family in a round; tasks on data differ in their split at least."""
    seeds: int = 1
    """Seeds for each configuration of a round."""
    full_rounds: int = 2
    """Rounds of draws that a full training is measured on; races use the first."""
    rates: tuple[float, ...] = log_grid(1e-3, 3.0, 6)
    """Coarse grid: where a rule's optimum lies is found with it, at short lengths."""
    fine_steps: tuple[float, ...] = (1.7, 1.35)
    """Factors between the rates of the passes of a full training, each as wide as the coarse grid and around the optimum of the pass before
    it; all but the last take one round. With (1.7,) alone, multiplying sgd by a constant changes its score by 6 %; with both by 2 %."""
    batch: int = 16
    """Programs in one job."""
    rung_fractions: tuple[float, ...] = (1 / 16, 1 / 4, 1.0)
    rung_keep: tuple[float, ...] = (0.5, 0.45)
    rung_window: int = 512
    level_tolerance: float = 1e-3
    """Rules whose losses at all rates and rungs so far agree to this share are taken as one; 0 switches it off."""
    schedule: Literal["cosine", "constant"] = "cosine"
    warmup: float = 0.05
    nest: Literal["programs", "steps"] = "programs"
    """Outermost loop of a job: over programs, or over steps with the gradients of all programs at once."""

    # what is kept and how it is reported
    hall: int = 16
    hall_rounds: int = 6
    """Rounds of fresh draws that order the hall of fame, in which the start rules compete."""
    checks: tuple[str, ...] = ("digits_mlp?depth=2&tanh=1",)
    """Tasks for meta-validation: they order the hall too, the search never sees them."""
    held_out: tuple[str, ...] = ("digits_autoencoder",)
    baselines: tuple[str, ...] = BASELINES
    tune_rounds: int = 2
    final_rounds: int = 8
    """Rounds of fresh draws behind the test losses of the final table."""
    final_rates: int = 8
    """Learning rates tried for each rule of the final table, refined around its best."""
    final_trials: int = 8
    """Draws of the other hyperparameters from their priors, for each rule that has any."""

    # hard limits of one job
    job_seconds: float = 300.0
    job_memory_mb: float | None = 8192.0

    def __post_init__(self) -> None:
        _check(self)

    def weight(self, task: str) -> float:
        """The task's weight in scores; 1 for tasks that the search does not train on."""
        return dict(zip(self.tasks, self.weights, strict=True)).get(task, 1.0) if self.weights else 1.0

    def allowed_ops(self) -> tuple[str, ...]:
        """The primitives of the search space, sorted."""
        return tuple(sorted(self.ops or DEFAULT_OPS))

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` gives an equal configuration back."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> SearchConfig:
        """Read a stored configuration. Raises `UserError` for unknown fields and wrong values."""
        known = {field.name for field in fields(cls)}
        if unknown := sorted(set(data) - known):
            raise UserError(f"unknown configuration field '{unknown[0]}'; allowed: {', '.join(sorted(known))}")
        values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return cls(**values)


DEFAULT_OPS = tuple(
    name
    for name in CORE_OPS
    if name not in {"every", "is_first", "where", "less", "invert", "e", "pi", "exp10", "exp2", "log2", "log10", "amin", "norm1", "std"}
)
"""What mutations insert unless told otherwise: no two of a kind that differ by a constant factor, no step control but bias correction."""


def _check(config: SearchConfig) -> None:
    """One clear line for each wrong value."""
    _check_numbers(config)
    _choice("strategy", config.strategy, STRATEGIES)
    _choice("restart_from", config.restart_from, ("start", "best"))
    _choice("schedule", config.schedule, ("cosine", "constant"))
    _choice("nest", config.nest, ("programs", "steps"))
    for kind in config.slot_kinds:
        _choice("slot_kinds", kind, KINDS)
    for op in config.ops:
        if op not in CORE_OPS:
            raise UserError(f"unknown primitive '{op}'; allowed: {', '.join(sorted(CORE_OPS))}")
    if not config.tasks:
        raise UserError("tasks is empty: name at least one")
    if config.weights and (len(config.weights) != len(config.tasks) or any(not (0 < weight < math.inf) for weight in config.weights)):
        raise UserError("weights must be empty or one positive number for each task")
    for task in (*config.tasks, *config.checks, *config.held_out):
        _check_task(task)
    _check_held_out(config)
    if not config.start:
        raise UserError("start is empty: name at least one rule")
    if not config.rates or any(not (0 < rate < math.inf) for rate in config.rates):
        raise UserError("rates must be one or more positive learning rates")
    if not config.fine_steps or any(not (1.01 <= step <= 100) for step in config.fine_steps):
        raise UserError("fine_steps must be one or more factors from 1.01 to 100")
    if config.final_rounds * config.instances * config.seeds < 2:
        raise UserError("final_rounds, instances and seeds must give two draws at least, or there are no intervals")
    _check_rungs(config.rung_fractions, config.rung_keep)


def _check_numbers(config: SearchConfig) -> None:
    for name, (low, high) in _RANGES.items():
        value = getattr(config, name)
        if value is not None and not (low <= value <= high):
            upper = "" if high == math.inf else f" and at most {high:g}"
            raise UserError(f"{name} must be at least {low:g}{upper}, not {value:g}")
    if config.max_proposals is None and config.budget_seconds is None:
        raise UserError("a search needs a limit: give max_proposals or budget_seconds")
    if config.tournament > config.population:
        raise UserError(f"tournament ({config.tournament}) must not exceed population ({config.population})")


_RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**32 - 1), "max_proposals": (1, math.inf), "budget_seconds": (1e-3, 1e9), "max_slots": (0, 16),
    "max_statements": (1, 200), "generation": (1, 1e6), "population": (1, 1e6), "tournament": (1, 1e6),
    "restart_patience": (0, math.inf), "probe_margin": (-100, 100), "train_share": (1e-6, 1), "fingerprint_bits": (1, 20),
    "audit_share": (0, 1), "steps": (1, 1e7), "instances": (1, 1024), "seeds": (1, 1024), "full_rounds": (1, 1024),
    "batch": (1, 4096), "rung_window": (1, 1e6), "level_tolerance": (0, 0.1), "warmup": (0, 1),
    "hall": (1, 1000), "hall_rounds": (1, 1024), "tune_rounds": (1, 1024), "final_rounds": (1, 1024), "final_rates": (1, 1024),
    "final_trials": (1, 4096), "job_seconds": (1, 1e6), "job_memory_mb": (64, 1e9),
}  # fmt: skip


def _check_rungs(fractions: Sequence[float], keep: Sequence[float]) -> None:
    rising = all(a < b for a, b in zip(fractions, fractions[1:], strict=False))
    if not fractions or not rising or not 0 < fractions[0] or fractions[-1] != 1.0:
        raise UserError("rung_fractions must rise from above 0 to exactly 1")
    if len(keep) != len(fractions) - 1 or any(not 0 < share <= 1 for share in keep):
        raise UserError(f"rung_keep must hold {len(fractions) - 1} shares in (0, 1], one for each rung but the last")


def _check_task(spec: str) -> None:
    from tasks.registry import parse

    try:
        parse(spec)
    except TaskError as error:
        raise UserError(str(error)) from error


def _check_held_out(config: SearchConfig) -> None:
    """What decides about candidates is not what reports on them."""
    from tasks.registry import parse
    from tasks.splits import refuse_held_out

    try:
        refuse_held_out(parse(task).name for task in (*config.tasks, *config.checks))
    except TaskError as error:
        raise UserError(str(error)) from error


def _choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise UserError(f"{name} is '{value}'; allowed: {', '.join(allowed)}")


PRESETS: dict[str, SearchConfig] = {
    "digits": SearchConfig(),
    "demo": SearchConfig(
        preset="demo", budget_seconds=110.0, generation=250, population=300, steps=150, hall=8, hall_rounds=2, tune_rounds=1,
        final_rounds=2, final_trials=4,
    ),
    "micro": SearchConfig(
        preset="micro", tasks=("micro_mlp",), steps=100, generation=250, population=300, budget_seconds=120.0,
        hall=8, hall_rounds=2, checks=(), tune_rounds=1, final_rounds=4, held_out=("micro_mlp?tanh=1",),
    ),
    "calibrated": SearchConfig(
        preset="calibrated", start=("adamw",), checks=(), baselines=("sgd", "momentum", "adamw", "lion"),
        tasks=(
            "matrix_sensing?size=16&width=16&batch=64", "digits_mlp?width=32&batch=32", "deep_linear?width=24&depth=4&batch=32",
            "lasso?inputs=64&batch=32",
        ),
        weights=(0.31, 1.0, 0.2, 0.79),  # log loss of adamw: -9.6, -3.0, -15.4, -3.8
        held_out=("digits_convnet?width=8&batch=32", "grammar_transformer?width=16&depth=1&context=16&batch=8", "digits_autoencoder"),
    ),
    "bench": SearchConfig(
        preset="bench", tasks=("micro_mlp",), start=("adamw",), steps=100, budget_seconds=None, max_proposals=60_000,
        generation=500, population=1000, tournament=2, restart_patience=0, checks=(), held_out=(), audit_share=0.0,
    ),
}  # fmt: skip
"""Named configurations; `preset(name, field=value, …)` changes some of a preset's fields."""


def preset(name: str, **changes: Any) -> SearchConfig:
    """A preset with changes. Raises `UserError` for an unknown name."""
    if name not in PRESETS:
        raise UserError(f"unknown preset '{name}'; allowed: {', '.join(sorted(PRESETS))}")
    return replace(PRESETS[name], **changes)
