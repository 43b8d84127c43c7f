"""Coordinate checks over widths 64 to 4096, under muP and the standard parametrisation: `python -m benchmarks.coordinate [OUT.png]`.

SGD, Adam, Lion, a learned optimizer with fresh weights and a random homogeneous program, whose learning rate is set at width 64 alone.
Then the root mean square of every normalised feature of learned optimizers, with and without scaled gradients.
Passes when every slope under muP is within ±0.05, SP's first step moves the outputs with slope above 0.5, and every feature of
`scale_free` is within ±10 % of its mean over widths. About 6 CPU minutes.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from random import Random

import jax
import numpy as np
import tyro
from tyro.conf import Positional

from benchmarks.feature_sizes import feature_report
from meta_train.mup.coordinate_check import WIDTHS, CoordinateCheck, coordinate_check, coordinate_checks
from meta_train.mup.drawing import draw_checks
from meta_train.mup.subjects import Subject, learned_subject, rule_subject
from meta_train.registry import load as load_optimizer
from search_space import load
from search_space.dataflow import dataflow
from search_space.ops import OPS
from search_space.parse import parse_program
from search_space.printer import to_text
from search_space.program import Program
from search_space.width import width_rule

RULES = {"sgd": 0.3, "adam": 0.01, "lion": 0.003}
LEARNED = {"scale_free": 0.01}
SMOOTH = ("add", "sub", "mul", "neg", "abs", "sign", "sqrt", "square", "cube", "max", "min", "lerp", "cbrt")
"""Primitives whose growth is polynomial, as the theorem asks; a reciprocal of a gradient has no moments."""

STEPS, MOVE = 4, 0.05
BAR, SP_BAR, BAR_FEATURES = 0.05, 0.5, 0.1


def main(figure: Positional[Path | None] = None) -> None:
    """Run everything, print a table, exit 1 if a bar is missed."""
    subjects: dict[str, Subject] = {name: rule_subject(load(name), rate) for name, rate in RULES.items()}
    for spec, rate in LEARNED.items():
        learned = load_optimizer(spec)
        subjects[spec] = learned_subject(learned, learned.init(jax.random.key(0)), rate)
    for title, known in (("random program", ()), ("random, other degree", (0.0, 1.0))):
        program, rate = random_homogeneous(0, known)
        print(to_text(program), f"degree {width_rule(program).gradient.update:g}, learning rate {rate:g}", flush=True)
        subjects[title] = rule_subject(program, rate)
    drawn: dict[str, CoordinateCheck] = {}
    good = True
    for name, subject in subjects.items():
        start = time.process_time()
        checks = coordinate_checks(subject, ("mup", "sp"), WIDTHS, steps=STEPS, seeds=1)
        drawn |= {f"{name}, {p}": check for p, check in checks.items()}
        good &= report(name, checks, time.process_time() - start)
    good &= feature_report(WIDTHS, BAR_FEATURES)
    if figure is not None:
        draw_checks({name: drawn[name] for name in ("adam, mup", "adam, sp")}, figure)
    sys.exit(0 if good else 1)


def report(name: str, checks: dict[str, CoordinateCheck], seconds: float) -> bool:
    """Print slopes after each step; whether the bars are kept."""
    slopes = {p: [check.slopes(k) for k in range(STEPS)] for p, check in checks.items()}
    for p, rows in slopes.items():
        print(f"{name:21s} {p:4s}", "  ".join("/".join(f"{s:+.3f}" for s in row.values()) for row in rows))
    worst = max(abs(s) for row in slopes["mup"] for s in row.values())
    first = slopes["sp"][0]["output"]
    print(f"{name:21s} worst under muP {worst:.3f}, SP's first step {first:.2f}, {seconds:.0f} CPU s", flush=True)
    return worst <= BAR and first > SP_BAR


def calibrated(program: Program) -> float | None:
    """The learning rate with which the first step moves the hidden layer by MOVE at the smallest width; None if there is none."""
    tiny = 1e-3
    moved = coordinate_check(rule_subject(program, tiny), "mup", WIDTHS[:1], steps=1, seeds=1).movement[0, 0, 1]
    return float(tiny * MOVE / moved) if np.isfinite(moved) and moved > 0 else None


def random_homogeneous(seed: int, excluded: tuple[float, ...]) -> tuple[Program, float]:
    """The first random program of at least six live primitives and a slot that is homogeneous in the gradient and trains the base network.

    Programs of `excluded` degrees are passed over. Its learning rate, of either sign, moves the hidden layer by MOVE at the first step,
    at the smallest width.
    """
    rng = Random(seed)
    while True:
        program = parse_program(random_text(rng))
        flow = dataflow(program)
        if width_rule(program).gradient.update in (None, *excluded) or not flow.slots or flow.statements < 6:
            continue
        rate = calibrated(program)
        for signed in (rate, -rate) if rate else ():
            loss = coordinate_check(rule_subject(program, signed), "mup", WIDTHS[:1], steps=10, seeds=1).loss[0]
            if np.isfinite(loss).all() and loss[-1] < loss[0]:
                return program, signed


def random_text(rng: Random, statements: int = 6) -> str:
    """A rule of random primitives over the gradient and an average of one of its values."""
    names, lines = ["g", "m"], []
    for k in range(statements):
        op = rng.choice(SMOOTH)
        args = [rng.choice(names[-3:]) for _ in range(OPS[op].arity)]
        lines.append(f"x{k} = {op}({', '.join([*args[:2], 'b'] if op == 'lerp' else args)})")
        names.append(f"x{k}")
    lines += [f"m = lerp({rng.choice(names[-3:])}, m, b)", f"return lr * {names[-1]}"]
    return "\n    ".join(["def random(w, g, lr, *, m: full = zeros, b: unit = 0.9):", *lines])


if __name__ == "__main__":
    tyro.cli(main)
