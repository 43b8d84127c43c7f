"""What a calibration measures, as data: rules, families with their versions, trials. Imports no jax.

A version is a task spec with its steps. Within a family each costs about ten times the one before, by width, depth, batch and steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from discover.errors import UserError

Size = Literal["micro", "small", "medium"]
SIZES: tuple[Size, ...] = ("micro", "small", "medium")

RULES = (
    "accsgd", "adabelief", "adafactor", "adagrad", "adamax", "adamw", "adan", "ademamix", "aggmo", "amsgrad", "clipped_sgd", "diffgrad",
    "lamb", "laprop", "lars", "lion", "madgrad", "momentum", "nadam", "novograd", "prodigy", "radam", "rmsprop", "sgd", "sign_sgd",
    "signum", "sm3", "yogi",
)  # fmt: skip
"""Rules that the interpreter runs, of many kinds, without near copies."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A task spec, steps of a training, and microseconds of a step of one training, which serve the estimate of time only."""

    spec: str
    steps: int
    microseconds: float = 100.0


def _family(name: str, *versions: tuple[str, int, float]) -> tuple[str, dict[Size, Variant]]:
    """A family's versions, micro first: parameters of the spec, steps, microseconds of a step."""
    specs = [f"{name}?{parameters}" if parameters else name for parameters, _, _ in versions]
    return name, {size: Variant(spec, v[1], v[2]) for size, spec, v in zip(SIZES, specs, versions, strict=False)}


FAMILIES: Mapping[str, Mapping[Size, Variant]] = dict(
    [
        _family("digits_mlp", ("width=12&batch=16", 50, 52), ("width=32&batch=32", 400, 58), ("width=96&depth=2&batch=64", 1500, 175)),
        _family("digits_convnet", ("width=4&batch=16", 50, 130), ("width=8&batch=32", 200, 300), ("width=16&batch=64", 500, 1000)),
        _family(
            "grammar_transformer",
            ("width=8&depth=1&context=8&batch=4", 50, 75),
            ("width=16&depth=1&context=16&batch=8", 120, 340),
            ("width=32&depth=2&context=24&batch=16", 250, 3100),
        ),
        _family(
            "adding_rnn",
            ("width=8&length=6&batch=16", 60, 30),
            ("width=16&length=12&batch=32", 200, 120),
            ("width=32&length=24&batch=64", 500, 600),
        ),
        _family("bbob", ("size=4", 50, 15), ("size=20", 300, 20)),
        _family("bilinear_game", ("size=4", 50, 15), ("size=20", 300, 20)),
        _family("breast_cancer", ("batch=8", 30, 15), ("batch=64", 200, 20)),
        _family("coherent_game", ("size=4", 50, 15), ("size=20", 300, 20)),
        _family(
            "deep_linear",
            ("width=6&depth=3&batch=8", 50, 20),
            ("width=24&depth=4&batch=32", 250, 50),
            ("width=64&depth=6&batch=128", 800, 250),
        ),
        _family("diabetes_mlp", ("width=8&batch=8", 50, 20), ("width=32&batch=32", 250, 40), ("width=128&batch=64", 1000, 150)),
        _family(
            "digits_autoencoder",
            ("width=8&latent=4&batch=8", 50, 40),
            ("width=32&latent=8&batch=32", 200, 90),
            ("width=96&latent=12&batch=64", 800, 350),
        ),
        _family("digits_stream", ("width=12&batch=16", 50, 25), ("width=32&batch=32", 200, 45)),
        _family(
            "digits_vit",
            ("width=8&depth=1&batch=4", 40, 150),
            ("width=16&depth=1&batch=16", 100, 600),
            ("width=32&depth=2&batch=32", 200, 3000),
        ),
        _family(
            "flow_2d",
            ("width=12&depth=1&batch=16", 50, 20),
            ("width=32&depth=2&batch=64", 200, 80),
            ("width=96&depth=3&batch=128", 600, 400),
        ),
        _family(
            "grammar_lstm",
            ("width=8&depth=1&context=8&batch=4", 50, 100),
            ("width=16&depth=1&context=16&batch=8", 120, 300),
            ("width=32&depth=2&context=24&batch=16", 250, 2000),
        ),
        _family("grammar_recurrence", ("width=8&depth=1&context=8&batch=4", 50, 80), ("width=16&depth=1&context=16&batch=8", 120, 250)),
        _family("lasso", ("inputs=16&batch=8", 50, 15), ("inputs=64&batch=32", 300, 25)),
        _family(
            "matrix_sensing",
            ("size=6&width=6&batch=16", 50, 15),
            ("size=16&width=16&batch=64", 300, 30),
            ("size=32&width=32&batch=256", 1000, 150),
        ),
        _family("noisy_quadratic", ("rows=6&cols=4", 50, 15), ("rows=24&cols=16", 300, 20)),
        _family("patch_denoising", ("width=12&batch=8", 50, 40), ("width=48&batch=32", 200, 100)),
        _family("pinn_burgers", ("width=8&depth=2&batch=16", 50, 80), ("width=16&depth=2&batch=64", 200, 250)),
        _family("pinn_poisson", ("width=8&depth=2&batch=16", 50, 80), ("width=16&depth=2&batch=64", 200, 250)),
        _family("rosenbrock", ("size=4", 50, 15), ("size=20", 300, 20)),
        _family(
            "siren",
            ("width=12&depth=2&batch=32", 50, 40),
            ("width=32&depth=2&batch=128", 150, 150),
            ("width=64&depth=3&batch=256", 400, 1200),
        ),
        _family("wine_softmax", ("batch=8", 30, 15), ("batch=64", 200, 20)),
        _family(
            "xor",
            ("inputs=6&width=12&batch=16", 50, 20),
            ("inputs=16&width=32&batch=64", 300, 60),
            ("inputs=24&width=128&batch=256", 1000, 300),
        ),
    ]
)
"""Families that need no data to be fetched. Small and medium versions of the same name share their data, not their draws."""
MEDIUM = ("digits_mlp", "digits_convnet", "grammar_transformer")
"""Families whose medium version is in every calibration; longer ones add others that have one, in the order of `FAMILIES`."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that determines a calibration's figures.

    Each rule has its default hyperparameters. Micro and small: `coarse` rates from `low` to `high` on one draw, then `fine` rates around
    the best on `seeds` fresh draws. Medium: `dear` rates, `step` apart, around the best of small on `seeds` draws. All rules on
    a version, `batch` rules on a medium one, are one unit of work; `members` trainings run side by side.
    """

    rules: tuple[str, ...] = RULES
    families: tuple[str, ...] = ()
    medium: tuple[str, ...] = MEDIUM
    coarse: int = 8
    low: float = 1e-4
    high: float = 10.0
    fine: int = 5
    dear: int = 3
    step: float = 2.5
    seeds: int = 3
    seed: int = 0
    batch: int = 14
    members: int = 4

    def to_json(self) -> dict[str, Any]:
        """Plain data; the versions themselves too, so that a changed table is another plan."""
        versions = {family: {size: asdict(v) for size, v in FAMILIES[family].items()} for family in self.families}
        return {**{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}, "versions": versions}

    def grid(self) -> tuple[float, ...]:
        """The coarse learning rates."""
        ratio = (self.high / self.low) ** (1.0 / max(1, self.coarse - 1))
        return tuple(self.low * ratio**i for i in range(self.coarse))

    def around(self, rate: float, size: Size) -> tuple[float, ...]:
        """The rates around a best one: those of `fine` span the gap to its neighbours in the grid."""
        count = self.dear if size == "medium" else self.fine
        gap = self.step if size == "medium" else (self.high / self.low) ** (1.0 / max(1, self.coarse - 1) / ((self.fine + 1) / 2))
        return tuple(rate * gap ** (i - (count - 1) / 2) for i in range(count))

    def trainings(self, size: Size) -> int:
        """Trainings of one rule on one version."""
        return self.dear * self.seeds if size == "medium" else self.coarse + self.fine * self.seeds


@dataclass(frozen=True, slots=True)
class Unit:
    """Some rules on one version: what is done at a time and committed. `centres`: for each rule the best rate of small (medium only)."""

    family: str
    size: Size
    number: int
    rules: tuple[str, ...]
    centres: tuple[float, ...] = ()

    @property
    def name(self) -> str:
        """The unit's file name."""
        return f"{self.family}-{self.size}-{self.number}"


def units(plan: Plan, sizes: tuple[Size, ...]) -> list[Unit]:
    """The units of some sizes, long ones first; medium versions in parts.

    First parts come first, so that no two workers compile a version at a time.
    """
    found = [
        Unit(family, size, number, rules)
        for family, size in sorted(_versions(plan, sizes), key=lambda version: -cost(plan, *version))
        for number, rules in enumerate(_parts(plan.rules, plan.batch if size == "medium" else len(plan.rules)))
    ]
    return sorted(found, key=lambda unit: unit.number)


def _parts(rules: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [rules[i : i + size] for i in range(0, len(rules), size)]


def _versions(plan: Plan, sizes: tuple[Size, ...]) -> list[tuple[str, Size]]:
    """Families and sizes to be measured."""
    return [(f, s) for f in plan.families for s in sizes if s != "medium" or f in plan.medium]


COMPILATION = 20.0
"""Seconds for a version to be compiled, in the estimate (measured: 15 for a multilayer perceptron, 35 for a transformer)."""
OVERHEAD = 1.2
"""Evaluations beside the steps, as a factor of their time, in the estimate."""


def cost(plan: Plan, family: str, size: Size) -> float:
    """Estimated seconds of one rule on a version."""
    version = FAMILIES[family][size]
    return OVERHEAD * plan.trainings(size) * version.steps * version.microseconds * 1e-6


def estimate_seconds(plan: Plan, workers: int) -> float:
    """Estimated wall seconds of a calibration."""
    return sum(COMPILATION + len(plan.rules) * cost(plan, *version) for version in _versions(plan, SIZES)) / workers


def plan_for(hours: float, workers: int, seed: int = 0, families: tuple[str, ...] = ()) -> Plan:
    """The largest plan whose estimate fits: with more time first more seeds, then more families of medium size.

    `families` restricts it; those of `MEDIUM` are always there. Raises `UserError` where even the smallest does not fit.
    """
    if not hours > 0:
        raise UserError(f"hours is {hours:g}, allowed: a positive number")
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown:
        raise UserError(f"family '{unknown[0]}' is not part of the calibration; allowed: {', '.join(FAMILIES)}")
    best = Plan(families=tuple(f for f in FAMILIES if not families or f in (*families, *MEDIUM)), seed=seed)
    needed = estimate_seconds(best, workers) / 3600
    if needed > hours:
        raise UserError(f"{hours:g} hours on {workers} workers are too few: the smallest calibration takes about {needed:.2g}")
    for seeds in (4, 6, 8):
        best = _if_fits(replace(best, seeds=seeds), best, hours, workers)
    for family in FAMILIES:
        if family in best.families and family not in best.medium and "medium" in FAMILIES[family]:
            best = _if_fits(replace(best, medium=(*best.medium, family)), best, hours, workers)
    return best


def _if_fits(larger: Plan, plan: Plan, hours: float, workers: int) -> Plan:
    return larger if estimate_seconds(larger, workers) <= hours * 3600 else plan
