"""The inferred degree of a rule is how its update really scales."""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np
import pytest

from search_space import zoo
from search_space.parse import parse_program
from search_space.program import Program
from search_space.reference import Reference
from search_space.units import Scale, degree
from tests.search_space.degrees import EVALUATED, random_programs, random_verdict, relative, updates

FACTOR = 2.0
PROGRAMS = [(name, k, p) for name in zoo.names() for k, p in enumerate(zoo.programs(name))]


@cache
def unscaled(name: str, part: int) -> list[np.ndarray]:
    """The updates that both scales are compared with."""
    return updates(zoo.programs(name)[part], 0, 1.0, {})


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
    scaled = updates(program, column, FACTOR, found.hypers)
    assert relative(scaled, [x * np.float32(FACTOR**found.update) for x in unscaled(name, part)]) <= 2e-4


def test_random_programs_scale_as_inferred() -> None:
    """1,000 random programs; a factor of 64 scales their roots exactly. Those that overflow cannot be compared."""
    verdicts = Counter(random_verdict(program) for program in random_programs(1000))
    assert verdicts["wrong"] == 0
    assert verdicts["right"] >= 350 and verdicts["not homogeneous"] >= 250
    assert verdicts["missed"] <= 200


@pytest.mark.parametrize("scale", ["rows", "columns"])
def test_sums_grow_with_tensors_as_inferred(scale: Scale) -> None:
    """A tensor whose rows or columns are there four times has the same entries in its update, times a power of four."""
    compared = 0
    for name in (
        "adam",
        "lamb",
        "lars",
        "novograd",
        "adafactor",
        "adagrad_norm",
        "clipped_sgd",
        "sm3",
        "lion_group",
        "fadam",
        "sign_descent",
    ):
        program, found = zoo.programs(name)[0], degree(zoo.programs(name)[0], scale)
        if found.update is None:
            continue
        axis, rng = ("rows", "columns").index(scale), np.random.default_rng(0)
        all_sizes = degree(program, "parameters")
        powers = {h: found.hypers.get(h, 0.0) + all_sizes.hypers.get(h, 0.0) for h in {**found.hypers, **all_sizes.hypers}}
        defaults = {h.name: h.default for h in program.hypers}
        small = Reference(program, [(4, 3)])
        large = Reference(program, [(16, 3) if axis == 0 else (4, 12)], {h: defaults[h] * 4.0**p for h, p in powers.items()})
        a, b = small.init(), large.init()
        for _ in range(3):
            g, w = rng.normal(size=(2, 4, 3)).astype(np.float32)
            x, a = small.update([g], a, [w], 0.5)
            y, b = large.update([np.repeat(g, 4, axis)], b, [np.repeat(w, 4, axis)], 0.5)
            expected = np.repeat(x[0], 4, axis) * 4.0 ** (found.update + (all_sizes.update or 0.0))
            np.testing.assert_allclose(y[0], expected, rtol=1e-4, atol=1e-7, err_msg=name)
        compared += 1
    assert compared >= 9


def test_where_and_zero() -> None:
    """A number guards a special case only where a size is 0; zero has another degree at each of its uses."""
    cases = {
        "return lr * where(norm(g), g / norm(g), 1.0)": 0.0,
        "return lr * where(less(norm(w), norm(g)), g, 1.0)": None,
        "return lr * where(is_first(t), 0.0, g)": 1.0,
        "return lr * where(1.0, g, sign(g))": 1.0,
        "return lr * max(g, 0.0) * max(square(g), 0.0)": 3.0,
    }
    for body, expected in cases.items():
        assert degree(parse_program(f"def r(w, g, lr):\n    {body}")).update == expected, body


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
