"""The engine of regeneration: facts, stages, exact fitting, programs, verdict; evolution of whole programs where the stages end."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from discover.errors import UserError
from discover.imitate.deep import filtered, gated, masked, polar
from discover.imitate.epsilon import with_epsilons
from discover.imitate.evolve import Score, evolve
from discover.imitate.facts import Facts, measure
from discover.imitate.fit import Form
from discover.imitate.judge import judge, relative_error
from discover.imitate.lift import lifted
from discover.imitate.plain import pointwise, scheduled
from discover.imitate.products import prune, simplify
from discover.imitate.recursive import recursive
from discover.imitate.snap import snap, with_sums
from discover.imitate.stages import Problem, bent, clipped, linear, multiplied, problem, signed, softened
from discover.imitate.start import nodes_of
from discover.imitate.target import Recording, play_program
from discover.imitate.write import program_of
from search_space.program import Program

ENGINES = ("combined", "enumeration", "evolution", "random", "hyper")
ACCEPTED = 2e-4
"""Error on the probe runs at which the search ends: below it the judge's limit holds with room to spare."""

STAGES = (signed, linear, bent, clipped, pointwise, multiplied, softened, gated, filtered, polar, masked, recursive, scheduled, lifted)

SAME = 1e-6
"""Error on the probe runs at which the start rule itself is the answer."""

Progress = Callable[[str, float, float], None]
"""Called with a stage's name, the best error so far and the seconds since the start."""


@dataclass(frozen=True)
class Outcome:
    """The best program found, its verdict on held-out data and what it took.

    `proposals` are candidates scored, forms of the stages and programs of evolution; `evaluated` those that were run as whole programs.
    """

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
    _consider(state, start, recording, "start")
    evaluated = 0
    if engine in ("combined", "enumeration") and state.error > SAME:
        p = problem(recording, measure(recording.probe), stop, nodes_of(start))
        _run_stages(p, recording, state, progress, began)
        state.proposals = p.probe.evaluated + p.full.evaluated + p.large.evaluated + p.bulk.evaluated
        evaluated = len(state.log)
    if engine != "enumeration" and state.error > ACCEPTED and not stop():
        evaluated += _run_evolution(recording, start, seed, stop, engine, state, progress, began)
    verdict = judge(state.best, recording)
    seconds = time.monotonic() - began
    return Outcome(state.best, verdict.error, verdict.equivalent, verdict.flips, state.proposals, evaluated, seconds, tuple(state.log))


def _run_stages(p: Problem, recording: Recording, state: _State, progress: Progress | None, began: float) -> None:
    for stage in STAGES:
        if p.stop():
            return
        for form in stage(p):
            if form.error < 0.1 and (finished := _finish(p, form, recording, p.facts)) is not None:
                _consider(state, program_of(finished), recording, stage.__name__)
            if p.stop() or state.error <= ACCEPTED:
                break
        if progress is not None:
            progress(stage.__name__, state.error, time.monotonic() - began)
        if state.error <= ACCEPTED:
            return


def _run_evolution(
    recording: Recording,
    start: Program,
    seed: int,
    stop: Callable[[], bool],
    engine: str,
    state: _State,
    progress: Progress | None,
    began: float,
) -> int:
    """Evolution from the start rule and, after the stages, from their best; returns how many programs were run."""
    starts = [start] if state.best == start else [start, state.best]
    score = Score(recording.probe)
    kind = "evolution" if engine == "combined" else engine
    for program in evolve(recording.probe, starts, seed, lambda: stop() or state.error <= ACCEPTED, kind, score):
        _consider(state, program, recording, kind)
        if progress is not None:
            progress(kind, state.error, time.monotonic() - began)
    state.proposals += score.proposals
    return score.evaluated


def _finish(p: Problem, form: Form, recording: Recording, facts: Facts) -> Form | None:
    """The form refitted on all probe runs (signs come finished), pruned, with short constants and weight decay put back."""
    decay = float(f"{facts.decay or 0.0:.4g}")
    if form.outer == "sign":
        return replace(form, scale=_short(form.scale), decay=decay)
    fitter = p.fitter_for(form)
    refitted = fitter.refine(form.terms)
    if refitted is None:
        return None
    if form.outer == "identity":
        refitted = with_epsilons(fitter, refitted)
    short = with_sums(snap(fitter, simplify(fitter, prune(fitter, refitted))))
    return replace(short, outer=form.outer, scale=_short(form.scale), decay=decay)


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _consider(state: _State, program: Program, recording: Recording, origin: str) -> None:
    """Keeps the program if the reference executor finds it closer than the best so far."""
    error = probe_error(program, recording)
    state.log.append(f"{origin}: error {error:.3g}")
    if error < state.error:
        state.best, state.error = program, error


def probe_error(program: Program, recording: Recording) -> float:
    """Relative error of a program's updates on the probe runs, the mean over runs."""
    mine, wanted = play_program(program, recording.probe.streams), recording.probe.u
    if not np.isfinite(mine).all():
        return float("inf")
    return float(np.mean([min(relative_error(mine[run], wanted[run]), 10.0) for run in range(len(wanted))]))
