"""Names to estimators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from meta_train.estimators import evolution
from meta_train.estimators.backprop import Backprop, ForwardGradient
from meta_train.problem import InnerProblem

ESTIMATORS: Mapping[str, Callable[[InnerProblem, int, int, float], Any]] = {
    "backprop": lambda problem, particles, steps, sigma: Backprop(problem, particles, steps),
    "es_single": evolution.es_single,
    "forward": lambda problem, particles, steps, sigma: ForwardGradient(problem, particles, steps),
    "full_es": lambda problem, particles, steps, sigma: evolution.full_es(problem, particles, sigma),
    "guided_es": evolution.guided_es,
    "noise_reuse": evolution.noise_reuse,
    "pes": evolution.pes,
    "truncated_es": evolution.truncated_es,
}


def make(name: str, problem: InnerProblem, particles: int, steps: int, sigma: float) -> Any:
    """The estimator of that name over `particles` trainings, `steps` inner steps at a time, with noise of deviation sigma."""
    return ESTIMATORS[name](problem, particles, steps, sigma)
