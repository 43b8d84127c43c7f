"""Inferred degrees against how updates really scale, run in NumPy: `python -m benchmarks.degrees`.

The whole zoo and 1,000 random programs, in the gradient's scale and in the weights'. Then, apart, how far the update of each rule with a
constant that carries units is from scaling, when gradients shrink and the constant stays: the cost of an unscaled ε in a wide network.
"""

from __future__ import annotations

import sys
from collections import Counter

import numpy as np
import tyro

from search_space import zoo
from search_space.program import Program
from search_space.units import Scale, degree
from tests.search_space.degrees import EVALUATED, random_programs, random_verdict, relative, updates

SCALES: tuple[Scale, ...] = ("gradient", "weights")
FACTOR, TOLERANCE = 2.0, 2e-4
SHRINK = (1 / 64, 1 / 4096)


def main() -> int:
    """Print all three; 1 if a degree is wrong."""
    programs = {f"{name}" + (f", part {k}" if k else ""): p for name in zoo.names() for k, p in enumerate(zoo.programs(name))}
    wrong = 0
    for column, scale in enumerate(SCALES):
        verdicts = {name: _verdict(program, column) for name, program in programs.items()}
        print(f"zoo, {scale}:", dict(Counter(verdicts.values())), [name for name, v in verdicts.items() if v == "wrong"])
        random = Counter(random_verdict(program, column) for program in random_programs(1000))
        print(f"1,000 random programs, {scale}:", dict(random), flush=True)
        wrong += random["wrong"] + sum(v == "wrong" for v in verdicts.values())
    print(f"constants with units held fixed: relative change of the update with gradients × {SHRINK}")
    for name, program in programs.items():
        found = degree(program)
        held = {h.name: 0.0 for h in program.hypers if h.name in found.hypers and h.default}
        if found.update is None or not held or not _servable(program):
            continue
        plain = updates(program, 0, 1.0, {})
        changes = [relative(updates(program, 0, c, held), [x * np.float32(c**found.update) for x in plain]) for c in SHRINK]
        print(f"  {name:28s} {', '.join(sorted(held)):24s}", "  ".join(f"{x:9.2g}" for x in changes))
    return 1 if wrong else 0


def _verdict(program: Program, column: int) -> str:
    found = degree(program, SCALES[column])
    if found.update is None:
        return "not homogeneous"
    if not _servable(program):
        return "not run"
    plain, scaled = updates(program, column, 1.0, {}), updates(program, column, FACTOR, found.hypers)
    return "right" if relative(scaled, [x * np.float32(FACTOR**found.update) for x in plain]) <= TOLERANCE else "wrong"


def _servable(program: Program) -> bool:
    """Whether its inputs scale by themselves: a product with the rule's own vector, or another rule's update, does not."""
    return "u" not in program.queries and all(e.what in EVALUATED for e in program.plan)


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
