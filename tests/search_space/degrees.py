"""How rules scale, measured by running them in NumPy with scaled inputs, for comparison with the inferred degrees."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import numpy as np

from search_space.dataflow import dataflow
from search_space.ops import OPS
from search_space.parse import parse_program
from search_space.program import EVALUATIONS, INPUT_KINDS, Hyper, Program, RuleError
from search_space.reference import Reference
from search_space.units import degree
from tests.search_space.programs import live_program

SHAPES = ((6,), (4, 3), (2, 2, 3, 4))
POWERS = {"g": (1, 0), "f": (1, 1), "h": (1, -1), "g2": (2, 0), "task": (0, 0), "examples": (0, 0)}
EVALUATED = {"gradient": (1, 0), "sampled_gradient": (1, 0), "value": (1, 1), "mean_square_gradient": (2, 0)}
FACTOR = 64.0
"""Whose square and cube roots are exact, so that random programs scale to the last bits."""

_FRIENDLY = (
    "add", "sub", "mul", "div", "ratio", "max", "min", "neg", "abs", "sign", "sqrt", "cbrt", "square", "where", "less", "lerp", "clip",
    "sum", "mean", "norm", "rms", "amax", "row_mean", "col_rms", "global_norm", "cos_sim", "dot",
)  # fmt: skip


def updates(
    program: Program, column: int, factor: float, hypers: dict[str, float], steps: int = 5, shapes: tuple[tuple[int, ...], ...] = SHAPES
) -> list[np.ndarray]:
    """Updates at learning rate 0.5, with gradients (column 0) or weights (1) and what belongs to them scaled."""
    defaults = {h.name: h.default for h in program.hypers}
    scaled = {name: defaults[name] * factor**power for name, power in hypers.items()}
    rule, rng, out = Reference(program, shapes, scaled), np.random.default_rng(5), []
    state = rule.init()
    powers = {n: POWERS[n] for n in program.queries} | {e.name: EVALUATED[e.what] for e in program.plan}
    kinds = {n: INPUT_KINDS[n] for n in program.queries} | {e.name: EVALUATIONS[e.what][1] for e in program.plan}
    for _ in range(steps):

        def draw(power: float) -> list[np.ndarray]:
            return [np.asarray(rng.normal(size=s) * factor**power, np.float32) for s in shapes]

        g, w = draw((1, 0)[column]), draw((0, 1)[column])
        asked: dict[str, Any] = {}
        for name, power in powers.items():
            values = [np.abs(x) + np.float32(0.0) for x in draw(power[column])]
            asked[name] = values if kinds[name] == "full" else float(values[0][0])
        update, state = rule.update(g, state, w, 0.5, asked)
        out += update
    return out


def relative(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    x, y = (np.concatenate([v.reshape(-1) for v in z]).astype(np.float64) for z in (a, b))
    return float(np.linalg.norm(x - y) / max(np.linalg.norm(y), 1e-30))


def random_programs(count: int, seed: int = 3) -> list[Program]:
    """Programs that read the gradient: half of all primitives, half of those that keep units, with a hyperparameter that may carry them."""
    rng, found = Random(seed), []
    while len(found) < count:
        program = _any(rng) if len(found) % 2 else _friendly(rng)
        if program and any(n.ref == "g" for n in dataflow(program).nodes if n.op == "input"):
            found.append(program)
    return found


def _any(rng: Random) -> Program:
    program = live_program(rng, rng.choice((2, 3, 4, 6)), rng.choice((0, 0, 1, 2)))
    return replace(program, hypers=(program.hypers[0], Hyper("c", "scale", abs(program.hypers[1].default) + 0.1)))


def _friendly(rng: Random) -> Program | None:
    names, lines = ["g", "w", "m", "a"], []
    for k in range(rng.choice((3, 4, 6))):
        op = rng.choice(_FRIENDLY)
        args = [rng.choice(names[-5:]) if rng.random() < 0.95 else f"{rng.gauss(0, 1):.3g}" for _ in range(OPS[op].arity)]
        lines.append(f"x{k} = {op}({', '.join([*args[:2], 'b'] if op == 'lerp' else args)})")
        names.append(f"x{k}")
    lines += [f"m = lerp({rng.choice(names[-3:])}, m, b)", f"return lr * {names[-1]}"]
    text = "\n    ".join(["def random(w, g, lr, *, m: full = zeros, b: unit = 0.9, a: scale = 0.3):", *lines])
    try:
        program = parse_program(text)
        dataflow(program)
    except RuleError:
        return None
    return program


def random_verdict(program: Program, column: int = 0) -> str:
    """ "right" or "wrong" for an inferred degree, "overflow" where numbers leave float32's range.

    Without an inferred degree: "not homogeneous" where no power of the factor explains the scaled updates, else "missed", which is safe.
    """
    found = degree(program, ("gradient", "weights")[column])
    plain = updates(program, column, 1.0, {}, 3, SHAPES[:2])
    scaled = updates(program, column, FACTOR, found.hypers, 3, SHAPES[:2])
    if not all(np.isfinite(x).all() for x in (*plain, *scaled)):
        return "overflow"
    power = found.update
    if power is None:
        sizes = [np.sqrt(sum(float((x.astype(np.float64) ** 2).sum()) for x in z)) for z in (plain, scaled)]
        power = np.log(sizes[1] / sizes[0]) / np.log(FACTOR) if min(sizes) > 0 else 0.0
    agree = relative(scaled, [x * FACTOR**power for x in map(np.float64, plain)]) <= 1e-4
    if found.update is None:
        return "missed" if agree else "not homogeneous"
    return "right" if agree else "wrong"
