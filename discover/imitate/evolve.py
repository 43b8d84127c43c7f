"""Evolution of whole programs towards a recorded target: what enumeration misses, and the controls that it is compared with.

Regularized evolution (Real et al., 2019) over genomes, warm-started, with restarts; the score is the imitation error after the best
overall factor, and the constants of the best are refined by Gauss-Newton now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

import numpy as np

from discover.flow import Flow
from discover.genome import Genome, from_program, to_program
from discover.imitate.batch import Batch, live_lines
from discover.imitate.fit import element_scale, from_free, to_free
from discover.imitate.streams import Array
from discover.imitate.target import Recorded
from discover.mutate import Mutator
from discover.space import Space
from discover.strategies import Evolution, Proposal, RandomSearch, Restart, Strategy, Told, hyper_only
from search_space.program import Call, Const, Expr, Hyper, Program, Var

_RUNS = ("base", "weights", "other", "loud", "soft", "small")
_STEPS = 32
_GENERATION = 50
_REFINE_EVERY = 40
"""Generations between refinements of the best program's constants."""
_LENGTH_COST = 1e-4
_OPS = (
    "add", "sub", "mul", "ratio", "neg", "abs", "sign", "sqrt", "cbrt", "square", "exp", "tanh", "log1p", "max", "min", "clip", "lerp",
    "less", "where", "debias", "mean", "norm", "rms",
)  # fmt: skip


class Score:
    """Imitation error of genomes, remembered by live form; `proposals` and `evaluated` count."""

    def __init__(self, recorded: Recorded) -> None:
        runs = [recorded.streams.run(name) for name in _RUNS]
        self.batch = Batch(recorded.streams, runs, _STEPS)
        u = recorded.u[runs, :, :_STEPS].astype(float)
        self.row = element_scale(u)
        self.u = u * self.row
        self.norm = float(np.linalg.norm(self.u)) or 1.0
        self.proposals = 0
        self.evaluated = 0
        self._known: dict[object, float | None] = {}

    def __call__(self, proposal: Proposal) -> float | None:
        """Error plus a little for length; None where the program fails."""
        self.proposals += 1
        form = proposal.walk.form
        if form not in self._known:
            self._known[form] = self.error(proposal.genome)
        error = self._known[form]
        return None if error is None else error + _LENGTH_COST * len(proposal.genome.lines)

    def error(self, genome: Genome) -> float | None:
        """Relative error after the best factor."""
        residual = self.residual(genome)
        return None if residual is None else float(np.linalg.norm(residual))

    def residual(self, genome: Genome) -> Array | None:
        """Weighted differences after the best factor, relative to the target's norm, flat."""
        self.evaluated += 1
        mine = self.batch.updates(genome)
        if mine is None:
            return None
        mine = mine * self.row
        return (self.u - self.factor(mine) * mine).ravel() / self.norm

    def factor(self, mine: Array) -> float:
        """The number to multiply weighted updates with."""
        size = float(np.square(mine).sum())
        return float((mine * self.u).sum()) / size if 0 < size < np.inf else 0.0


def evolve(
    recorded: Recorded, starts: Sequence[Program], seed: int, stop: Callable[[], bool], engine: str, score: Score
) -> Iterator[Program]:
    """Yields programs, each closer than the one before, until `stop`."""
    rng = Random(f"{seed}-{engine}")
    genomes = [from_program(start) for start in starts]
    strategy = _strategy(engine, genomes)
    best = np.inf
    generation = 0
    while not stop():
        proposals = strategy.ask(rng, _GENERATION)
        results = []
        for proposal in proposals:
            value = score(proposal)
            results.append(Told(proposal, score.proposals, value))
            if value is not None and value < 0.999 * best:
                best = value
                yield _scaled(score, proposal.genome)
            if stop():
                return
        if all(result.score is None for result in results) and generation == 0:
            return
        strategy.tell(results)
        generation += 1
        if generation % _REFINE_EVERY == 0 and isinstance(strategy, Evolution) and strategy.best is not None:
            refined = refine(score, strategy.best.genome)
            proposal = Proposal(refined, strategy.mutator.flow.walk(refined), None, "refined")
            value = score(proposal)
            strategy.tell([Told(proposal, score.proposals, value)])
            if value is not None and value < 0.999 * best:
                best = value
                yield _scaled(score, refined)


def _strategy(engine: str, genomes: Sequence[Genome]) -> Strategy:
    space = Space(ops=_OPS, max_slots=3, max_statements=14, slot_kinds=("full",), weights=_WEIGHTS)
    if engine == "random":
        return RandomSearch(genomes, Mutator(space, Flow()))
    if engine == "hyper":
        return Evolution(genomes, Mutator(hyper_only(space), Flow()), 100, 5, Restart(20_000, "start"))
    return Evolution(genomes, Mutator(space, Flow()), 300, 8, Restart(30_000, "start"))


_WEIGHTS = (("insert", 1.0), ("delete", 1.0), ("modify", 1.5), ("result", 0.2), ("add_slot", 0.3), ("remove_slot", 0.1), ("hyper", 0.3))


def refine(score: Score, genome: Genome, rounds: int = 8) -> Genome:
    """The genome with hyperparameters and literals moved downhill by damped Gauss-Newton steps."""
    places = _constants(genome)
    residual = score.residual(genome)
    if not places or residual is None:
        return genome
    x = np.array([value for _, value in places])
    kinds = [kind for kind, _ in places]
    best, damping = float(np.linalg.norm(residual)), 1e-2
    for _ in range(rounds):
        columns = []
        for k in range(len(x)):
            near = x.copy()
            near[k] += 1e-3
            moved = score.residual(_with_constants(genome, kinds, near))
            columns.append(np.zeros_like(residual) if moved is None else (moved - residual) / 1e-3)
        jacobian = np.stack(columns, axis=1)
        normal = jacobian.T @ jacobian
        step = -np.linalg.solve(normal + (damping * np.trace(normal) + 1e-12) * np.eye(len(x)), jacobian.T @ residual)
        trial = x + np.clip(step, -1.0, 1.0)
        moved = score.residual(_with_constants(genome, kinds, trial))
        if moved is not None and np.linalg.norm(moved) < best:
            x, residual, best, damping = trial, moved, float(np.linalg.norm(moved)), damping * 0.2
        else:
            damping *= 10.0
    return _with_constants(genome, kinds, x)


def _constants(genome: Genome) -> list[tuple[str, float]]:
    """(kind, free value) of hyperparameters, then of literals."""
    found = [(_kind(h), to_free(_kind(h), h.default)) for h in genome.hypers]
    return found + [("number", a) for _, _, args in genome.lines for a in args if isinstance(a, float)]


def _kind(hyper: Hyper) -> str:
    return hyper.prior if hyper.prior != "scale" or hyper.default > 0 else "number"


def _with_constants(genome: Genome, kinds: list[str], x: Array) -> Genome:
    values = iter([from_free(kind, float(value)) for kind, value in zip(kinds, x, strict=True)])
    hypers = tuple(replace(h, default=next(values)) for h in genome.hypers)
    lines = tuple((target, op, tuple(next(values) if isinstance(a, float) else a for a in args)) for target, op, args in genome.lines)
    return replace(genome, hypers=hypers, lines=lines)


def _scaled(score: Score, genome: Genome) -> Program:
    """The live part of a genome as a program, its best factor written out."""
    mine = score.batch.updates(genome)
    factor = 1.0 if mine is None else score.factor(mine * score.row)
    lines = live_lines(genome)
    used = {genome.result, *(a for _, _, args in lines for a in args), *(target for target, _, _ in lines)}
    slots = tuple(s for s in genome.slots if s.name in used)
    used.update(*(_variables(s.init) for s in slots if not isinstance(s.init, str)))
    program = to_program(replace(genome, lines=tuple(lines), slots=slots))
    program = replace(program, hypers=tuple(h for h in program.hypers if h.name in used))
    if abs(factor - 1.0) < 1e-4:
        return program
    return replace(program, result=Call("mul", (Const(float(f"{factor:.6g}")), program.result)))


def _variables(expr: Expr) -> set[str]:
    if isinstance(expr, Call):
        return set().union(*map(_variables, expr.args))
    return {expr.name} if isinstance(expr, Var) else set()
