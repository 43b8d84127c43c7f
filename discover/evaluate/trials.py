"""How one rule is tuned and measured on one task with one schedule, as requests for trainings. Imports no jax."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, NamedTuple

from discover.evaluate.protocol import Protocol
from discover.variants import variants
from search_space.program import Hyper


class Request(NamedTuple):
    """Trainings of one rule: member i with peak rate `rates[i]` on draw `instances[i]` of the task; `final` asks for the whole curve."""

    hypers: tuple[tuple[str, float], ...]
    rates: tuple[float, ...]
    instances: tuple[int, ...]
    scheduled: bool
    final: bool = False


class Answer(NamedTuple):
    """What the members of a request came to: losses at the end and before the first step; `curve` E validations each. +inf: failed."""

    valid: tuple[float, ...]
    test: tuple[float, ...]
    initial: tuple[float, ...]
    curve: tuple[tuple[float, ...], ...]

    @classmethod
    def join(cls, parts: Sequence[Answer]) -> Answer:
        """Members one after the other."""
        return cls(*(tuple(x for part in parts for x in getattr(part, name)) for name in cls._fields))


Measure = Callable[[Sequence[Request]], list[Answer]]
"""Trains one rule on one task."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The best trial: mean validation loss over its draws (+inf where every trial failed), hyperparameters and peak rate."""

    loss: float
    hypers: tuple[tuple[str, float], ...]
    rate: float
    trials: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell before it is set beside others: the tuned choice, then figures of each fresh draw.

    test, valid, initial [S]; curve [S][E]. `edge`: the best rate lies at or beyond an end of the coarse grid.
    """

    tuned: Tuned
    edge: bool
    test: tuple[float, ...]
    valid: tuple[float, ...]
    initial: tuple[float, ...]
    curve: tuple[tuple[float, ...], ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "loss": self.tuned.loss,
            "hypers": dict(self.tuned.hypers),
            "rate": self.tuned.rate,
            "trials": self.tuned.trials,
            "edge": self.edge,
            "test": self.test,
            "valid": self.valid,
            "initial": self.initial,
            "curve": self.curve,
        }


def cells(protocol: Protocol, hypers: Sequence[Hyper], seed: int, measure: Measure) -> list[Outcome]:
    """One rule on one task with each schedule of the protocol: tune with `protocol.trials` trials each, then measure on fresh draws.

    The schedules are tuned side by side, so that a batch of trainings holds work of all of them.
    """
    drawn = [{}, *variants(hypers, protocol.variants, Random(f"{seed}:variants"))]
    choices = [tuple({**{h.name: h.default for h in hypers}, **change}.items()) for change in drawn]
    tuned = [Tuned(math.inf, choices[0], math.sqrt(protocol.low * protocol.high), 0) for _ in protocol.schedules]
    tuned = _stage(protocol, tuned, [[(choices[0], grid(protocol))] for _ in tuned], 1, measure)
    tuned = _stage(protocol, tuned, [_around(protocol, best.rate, choices) for best in tuned], 1, measure)
    close = [[(best.hypers, finer(protocol, best.rate))] for best in tuned]
    tuned = _stage(protocol, [replace(best, loss=math.inf) for best in tuned], close, protocol.tune_seeds, measure)
    fresh = tuple(range(protocol.tune_seeds, protocol.tune_seeds + protocol.seeds))
    asked = [
        Request(best.hypers, (best.rate,) * len(fresh), fresh, schedule == "cosine", final=True)
        for best, schedule in zip(tuned, protocol.schedules, strict=True)
    ]
    edges = (protocol.low * 1.001, protocol.high / 1.001)
    return [
        Outcome(best, not edges[0] < best.rate < edges[1], answer.test, answer.valid, answer.initial, answer.curve)
        for best, answer in zip(tuned, measure(asked), strict=True)
    ]


def grid(protocol: Protocol) -> tuple[float, ...]:
    """The coarse learning rates."""
    return tuple(protocol.low * protocol.step**i for i in range(protocol.coarse))


def finer(protocol: Protocol, rate: float) -> tuple[float, ...]:
    """`refine` rates within two fifths of a coarse step about a rate, that rate itself left out."""
    count = protocol.refine
    shift = 0.5 if count % 2 == 0 else 0.75
    return tuple(rate * protocol.step ** (0.8 * ((i + shift) / count - 0.5)) for i in range(count))


Choice = tuple[tuple[str, float], ...]
Asked = list[tuple[Choice, tuple[float, ...]]]


def _around(protocol: Protocol, rate: float, choices: Sequence[Choice]) -> Asked:
    """For each drawn variant `around` rates half a coarse step apart about the best, moved from draw to draw, so that none repeats."""
    asked: Asked = []
    for number, choice in enumerate(choices[1:]):
        share = (number + 0.5) / len(choices[1:])  # in (0, 1): the part of a step by which this variant's rates are moved
        places = [0.5 * (i - protocol.around / 2 + share) for i in range(protocol.around)]
        asked.append((choice, tuple(rate * protocol.step**place for place in places)))
    return asked


def _stage(protocol: Protocol, tuned: Sequence[Tuned], asked: Sequence[Asked], count: int, measure: Measure) -> list[Tuned]:
    """Try (hyperparameters, rates) for each schedule on the first `count` draws and keep the best; ties stay with the earlier."""
    draws = range(count)
    requests, owners = [], []
    for owner, (schedule, parts) in enumerate(zip(protocol.schedules, asked, strict=True)):
        for hypers, rates in parts:
            requests.append(Request(hypers, tuple(r for r in rates for _ in draws), tuple(draws) * len(rates), schedule == "cosine"))
            owners.append(owner)
    best = list(tuned)
    for owner, request, answer in zip(owners, requests, measure(requests), strict=True):
        for i in range(0, len(request.rates), len(draws)):
            losses = answer.valid[i : i + len(draws)]
            loss = math.fsum(losses) / len(losses) if all(map(math.isfinite, losses)) else math.inf
            old = best[owner]
            kept = old if loss >= old.loss else Tuned(loss, request.hypers, request.rates[i], old.trials)
            best[owner] = Tuned(kept.loss, kept.hypers, kept.rate, old.trials + 1)
    return best
