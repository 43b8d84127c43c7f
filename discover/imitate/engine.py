"""The engine of regeneration: facts, stages, exact fitting, programs, verdict; evolution of whole programs where the stages end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from discover.errors import UserError
from discover.imitate.epsilon import with_epsilons
from discover.imitate.facts import Facts, measure
from discover.imitate.fit import Form
from discover.imitate.judge import judge, relative_error
from discover.imitate.products import prune
from discover.imitate.signals import Signals, constant_sites
from discover.imitate.signfit import SignFitter
from discover.imitate.snap import snap, snap_sign, with_sums
from discover.imitate.stages import STAGES, Problem, problem
from discover.imitate.target import Recording, play_program
from discover.imitate.write import program_of
from search_space.program import Program

ENGINES = ("combined", "enumeration", "evolution", "random", "hyper")
ACCEPTED = 2e-4
"""Error on the probe runs at which the search ends: below it the judge's limit holds with room to spare."""

Progress = Callable[[str, float, float], None]
"""Called with a stage's name, the best error so far and the seconds since the start."""


@dataclass(frozen=True)
class Outcome:
    """The best program found, its verdict on held-out data and what it took."""

    program: Program
    error: float
    equivalent: bool
    flips: float | None
    proposals: int
    evaluated: int
    seconds: float
    log: tuple[str, ...]


@dataclass
class _State:
    """The best program so far and the counts of one search."""

    best: Program
    error: float = float("inf")
    length: float = float("inf")
    proposals: int = 0
    log: list[str] = field(default_factory=list)


def regenerate(
    recording: Recording,
    start: Program,
    *,
    seed: int,
    budget_seconds: float,
    engine: str = "combined",
    workers: int = 1,
    progress: Progress | None = None,
) -> Outcome:
    """A program whose updates equal the recorded target's, found from `start`; a miss returns the closest one.

    `workers` changes nothing: one core is enough, so results cannot depend on it.
    """
    del workers
    if engine not in ENGINES:
        raise UserError(f"engine '{engine}' is unknown; allowed: {', '.join(ENGINES)}")
    began = time.monotonic()
    deadline = began + budget_seconds

    def stop() -> bool:
        return time.monotonic() > deadline

    state = _State(start)
    _consider(state, start, float("inf"), recording, "start")
    evaluated = 0
    if engine in ("combined", "enumeration") and state.error > ACCEPTED:
        p = problem(recording.probe, measure(recording.probe), stop)
        _run_stages(p, recording, state, progress, began)
        evaluated = p.probe.evaluated + p.full.evaluated + p.large.evaluated
    verdict = judge(state.best, recording)
    seconds = time.monotonic() - began
    return Outcome(state.best, verdict.error, verdict.equivalent, verdict.flips, state.proposals, evaluated, seconds, tuple(state.log))


def _run_stages(p: Problem, recording: Recording, state: _State, progress: Progress | None, began: float) -> None:
    for stage in STAGES:
        if p.stop():
            return
        for form in stage(p):
            state.proposals += 1
            if form.error < 0.1 and (finished := _finish(p, form, recording, p.facts)) is not None:
                _consider(state, program_of(finished), _length(finished), recording, stage.__name__)
            if p.stop() or (state.error <= ACCEPTED and form.outer != "sign"):
                break
        if progress is not None:
            progress(stage.__name__, state.error, time.monotonic() - began)
        if state.error <= ACCEPTED:
            return


def _finish(p: Problem, form: Form, recording: Recording, facts: Facts) -> Form | None:
    """The form refitted on all probe runs (signs: on the bulk), pruned, with short constants and weight decay put back."""
    decay = float(f"{facts.decay or 0.0:.4g}")
    if form.outer == "sign":
        fitter = _bulk_fitter(recording, facts)
        refitted = fitter.fit(form.terms, form.coefficients)
        return None if refitted is None else replace(snap_sign(fitter, refitted), scale=_short(form.scale), decay=decay)
    fitter = p.fitter_for(form)
    refitted = fitter.refine(form.terms)
    if refitted is None:
        return None
    if form.outer == "identity":
        refitted = with_epsilons(fitter, refitted)
    short = with_sums(snap(fitter, prune(fitter, refitted)))
    return replace(short, outer=form.outer, scale=_short(form.scale), decay=decay)


def _length(form: Form) -> float:
    """Digits of a form's numbers and its terms; a weighted mean needs one number fewer."""
    numbers = [value for _, value in constant_sites(("terms", *form.terms))]
    free = [c for c in form.coefficients if abs(c) != 1.0]
    mean = len(form.terms) == 2 and abs(sum(form.coefficients) - 1.0) < 1e-9 and min(form.coefficients) > 0
    digits = sum(len(f"{c:g}") for c in numbers) + sum(len(f"{c:g}") for c in free[: 1 if mean else None])
    return digits + 3 * len(form.terms)


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _bulk_fitter(recording: Recording, facts: Facts) -> SignFitter:
    bulk = recording.bulk
    signals = Signals(bulk.streams.g, bulk.streams.w, bulk.streams.layout)
    level = facts.level or 1.0
    return SignFitter(signals, (bulk.u - (facts.decay or 0.0) * bulk.streams.w) / level)


def _consider(state: _State, program: Program, length: float, recording: Recording, origin: str) -> None:
    """Keeps the program if the reference executor finds it closer than the best so far, or as exact and shorter."""
    error = probe_error(program, recording)
    state.log.append(f"{origin}: error {error:.3g}")
    exact = error <= ACCEPTED and state.error <= ACCEPTED
    if (exact and length < state.length) or (not exact and error < state.error):
        state.best, state.error, state.length = program, error, length


def probe_error(program: Program, recording: Recording) -> float:
    """Relative error of a program's updates on the probe runs, the mean over runs."""
    mine, wanted = play_program(program, recording.probe.streams), recording.probe.u
    if not np.isfinite(mine).all():
        return float("inf")
    return float(np.mean([min(relative_error(mine[run], wanted[run]), 10.0) for run in range(len(wanted))]))
