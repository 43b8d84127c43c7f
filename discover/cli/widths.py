"""What `discover mup` checks: a rule, trained weights or an architecture, its degree, and the factors that it needs. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from discover.cli.checks import check_rule, suggest
from discover.errors import UserError
from meta_train import pretrained
from meta_train.errors import LearnedOptimizerError
from meta_train.registry import names as architectures
from meta_train.registry import parse as parse_architecture
from meta_train.run_folder import WEIGHTS, is_run
from meta_train.weights import CARD, read_card
from search_space import zoo
from search_space.parametrisation import tensor_scales
from search_space.program import Program, RuleSet
from search_space.width import WidthRule, fold, width_rule

ROLES = ("input", "hidden", "output", "vector")
DEFAULT_RATE = 0.01


@dataclass(frozen=True)
class Described:
    """`degree` is None for what is not homogeneous, or has parts of different degrees; `table` has a row of powers of m for each role.

    `subject(learning_rate)` gives what the check trains, and imports jax.
    """

    name: str
    degree: float | None
    verdict: str
    table: list[dict[str, Any]]
    learning_rate: float
    subject: Callable[[float], Any]


def describe(source: str, parametrisation: str) -> Described:
    """Find out what was named. Raises `UserError` or `RuleError`."""
    try:
        if (folder := _weights(source)) is not None:
            return _trained(source, folder, parametrisation)
        name = source.replace("-", "_")
        if name.partition("?")[0] in architectures() and name not in zoo.names() or source.startswith("program:"):
            parse_architecture(source)
            return _fresh(source, parametrisation)
    except LearnedOptimizerError as error:
        raise UserError(str(error)) from error
    known = (*zoo.names(), *architectures(), *pretrained.names())
    if name.isidentifier() and name not in known:
        raise UserError(f"'{source}' is no known rule, learned optimizer or file{suggest(name, known)}; `discover zoo` lists the rules")
    return _rule(source, parametrisation)


def _weights(source: str) -> Path | None:
    """The folder of trained weights that was named: shipped, a folder of its own, or inside of a run."""
    if source in pretrained.names():
        return pretrained.folder(source)
    path = Path(source)
    if is_run(path):
        return path / WEIGHTS
    return path if (path / CARD).exists() else None


def _trained(source: str, folder: Path, parametrisation: str) -> Described:
    from_card = read_card(folder)

    def subject(learning_rate: float) -> Any:
        from meta_train import weights
        from meta_train.mup.subjects import learned_subject

        return learned_subject(*weights.load(folder), learning_rate)

    return _learned(f"{source} ({from_card['optimizer']})", str(from_card["optimizer"]), parametrisation, subject)


def _fresh(source: str, parametrisation: str) -> Described:
    def subject(learning_rate: float) -> Any:
        import jax

        from meta_train.mup.subjects import learned_subject
        from meta_train.registry import load

        learned = load(source)
        return learned_subject(learned, learned.init(jax.random.key(0)), learning_rate)

    return _learned(f"{source} (fresh weights)", source, parametrisation, subject)


def _learned(name: str, architecture: str, parametrisation: str, subject: Callable[[float], Any]) -> Described:
    from meta_train.registry import load

    verdict = "learned optimizer: nothing to infer; gradients are scaled to the size that they have at the smallest width"
    return Described(name, None, verdict, _rows(None, parametrisation), load(architecture).rate, subject)


def _rule(source: str, parametrisation: str) -> Described:
    rule = check_rule(source)
    parts = [part for _, part in rule.parts] if isinstance(rule, RuleSet) else [rule]
    found = [width_rule(part) for part in parts]
    degrees = {part.gradient.update if part.kind == "homogeneous" else None for part in found}
    verdict = "; ".join(dict.fromkeys(part.verdict() for part in found))
    table = _rows(found[0] if len(found) == 1 and found[0].kind == "homogeneous" else None, parametrisation)
    name = source.replace("-", "_")
    rate = float(zoo.card(name)["learning-rate"]) if name in zoo.names() else DEFAULT_RATE

    def subject(learning_rate: float) -> Any:
        from meta_train.mup.subjects import rule_subject

        return rule_subject(rule, learning_rate)

    title = name if name in zoo.names() else rule.name if isinstance(rule, Program) else source
    return Described(title, degrees.pop() if len(degrees) == 1 else None, verdict, table, rate, subject)


def _rows(rule: WidthRule | None, parametrisation: str) -> list[dict[str, Any]]:
    """Powers of m: with the gradient scaled, or folded into learning rate and hyperparameters where the rule allows it."""
    rows = []
    for role in ROLES:
        scales = tensor_scales(_Info(role), parametrisation)
        row: dict[str, Any] = {"role": role, "initial weights": _power(scales.init)}
        if rule is None:
            row |= {"gradient": _power(scales.gradient), "update": _power(scales.update)}
        else:
            folded = fold(rule, scales)
            row |= {"learning rate": _power(folded.learning_rate), **{name: _power(x) for name, x in folded.hypers.items()}}
        rows.append(row)
    return rows


@dataclass(frozen=True)
class _Info:
    role: str
    width_mult: float = 2.0


def _power(factor: float) -> float:
    """Of m, where the factor is that of m = 2."""
    return round(math.log2(factor), 6) + 0.0
