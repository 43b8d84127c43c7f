"""The inferred degree of a rule is how its update really scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from search_space import zoo
from search_space.parse import parse_program
from search_space.program import EVALUATIONS, INPUT_KINDS, Program
from search_space.reference import Reference
from search_space.units import Scale, degree

SHAPES = ((6,), (4, 3), (2, 2, 3, 4))
FACTOR = 2.0
POWERS = {"g": (1, 0), "f": (1, 1), "h": (1, -1), "g2": (2, 0), "task": (0, 0), "examples": (0, 0)}
EVALUATED = {"gradient": (1, 0), "sampled_gradient": (1, 0), "value": (1, 1), "mean_square_gradient": (2, 0)}
PROGRAMS = [(name, k, p) for name in zoo.names() for k, p in enumerate(zoo.programs(name))]


def updates(program: Program, column: int, factor: float, hypers: dict[str, float]) -> list[np.ndarray]:
    """Five steps at learning rate 0.5, with gradients (column 0) or weights (1) and what belongs to them scaled."""
    defaults = {h.name: h.default for h in program.hypers}
    scaled = {name: defaults[name] * factor**power for name, power in hypers.items()}
    rule, rng, out = Reference(program, SHAPES, scaled), np.random.default_rng(5), []
    state = rule.init()
    powers = {n: POWERS[n] for n in program.queries} | {e.name: EVALUATED[e.what] for e in program.plan}
    kinds = {n: INPUT_KINDS[n] for n in program.queries} | {e.name: EVALUATIONS[e.what][1] for e in program.plan}
    for _ in range(5):

        def draw(power: float) -> list[np.ndarray]:
            return [np.asarray(rng.normal(size=s) * factor**power, np.float32) for s in SHAPES]

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


def servable(program: Program) -> bool:
    """Whether the inputs of a rule scale by themselves: a product with the rule's own vector, or another rule's update, does not."""
    return "u" not in program.queries and all(e.what in EVALUATED for e in program.plan)


@pytest.mark.parametrize(("name", "part", "program"), PROGRAMS, ids=[f"{n}-{k}" for n, k, _ in PROGRAMS])
@pytest.mark.parametrize("scale", ["gradient", "weights"])
def test_the_update_scales_as_inferred(name: str, part: int, program: Program, scale: Scale) -> None:
    found, column = degree(program, scale), int(scale == "weights")
    if found.update is None:
        assert found.reason
        return
    if not servable(program):
        assert found.update == found.update
        return
    plain, scaled = updates(program, column, 1.0, {}), updates(program, column, FACTOR, found.hypers)
    assert relative(scaled, [x * np.float32(FACTOR**found.update) for x in plain]) <= 2e-4


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("return lr * g", 1.0),
        ("return lr * sign(g)", 0.0),
        ("return lr * g * abs(g)", 2.0),
        ("return lr * g / (norm(g) + 1e-8)", None),
        ("return lr * g / (norm(g) + a)", 0.0),
        ("return lr * (g + sign(g))", None),
        ("return lr * exp(g)", None),
        ("return lr * exp(g / norm(g))", 0.0),
        ("return lr * (g + b * sign(g))", None),
        ("return lr * pow(abs(g), 0.5)", 0.5),
    ],
)
def test_degree_of_small_rules(body: str, expected: float | None) -> None:
    program = parse_program(f"def r(w, g, lr, *, a: scale = 0.1, b: number = 0.3):\n    {body}")
    assert degree(program).update == expected


def test_epsilon_carries_the_units_of_its_place() -> None:
    assert degree(zoo.program("adam")).hypers == {"eps": 1.0}
    assert degree(zoo.program("rmsprop")).hypers == {"eps": 2.0}
    assert degree(zoo.program("adabelief")).update is None  # the same epsilon is added to a square and to its root
    assert degree(zoo.program("lamb"), "weights").update == 1.0
