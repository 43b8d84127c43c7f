"""Equal rules merge, different rules never do."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from search_space import load, zoo
from search_space.dataflow import dataflow
from search_space.keys import exact_key, fingerprint, real_key
from search_space.probe import behaviour_stream, simulate
from search_space.program import Program
from tests.search_space.known import PLAIN
from tests.search_space.programs import live_program

HEAD = "def r(w, g, lr, *, m: full = zeros, v: full = zeros, z: full = zeros, b: unit = 0.9):\n"


def rule(body: str) -> Program:
    program = load(HEAD + "\n".join("    " + line for line in body.split("; ")))
    assert isinstance(program, Program)
    return program


SAME = {
    "renamed variables": ("x = sqrt(g); return lr * x", "y = sqrt(g); return lr * y"),
    "reordered independent statements": ("x = exp(g); y = abs(w); return x + y", "y = abs(w); x = exp(g); return x + y"),
    "dead statement": ("x = exp(g); y = abs(w); return x", "x = exp(g); return x"),
    "state written but never read later": ("m = lerp(g, m, b); return lr * g", "return lr * g"),
    "commuted operands": ("return (g + w) * lr", "return lr * (w + g)"),
    "square(x) and x*x": ("return square(g)", "return g * g"),
    "x*1 and x+0": ("return g * 1.0", "return g + 0.0"),
    "double negation": ("return neg(neg(g))", "return g"),
    "folded constants": ("return g * (2.0 * 3.0)", "return g * 6.0"),
    "scalar associativity": ("return (g * 2.0) * 3.0", "return g * 6.0"),
    "sign(x) and x/sqrt(x*x)": ("return lr * sign(g)", "return lr * (g / sqrt(g * g))"),
    "slots swapped": ("m = lerp(g, m, b); v = lerp(g * g, v, b); return m / v", "v = lerp(g, v, b); m = lerp(g * g, m, b); return v / m"),
    "abs(square(x))": ("return abs(square(g))", "return square(g)"),
}
MORE_SAME = {
    "two equal slots are one": ("m = lerp(g, m, b); v = lerp(g, v, b); return m + v", "m = lerp(g, m, b); return m + m"),
    "two interpolations of one average": ("return lerp(g, w, 0.25)", "return 0.75 * g + 0.25 * w"),
    "distributed product": ("return lr * (g + w)", "return lr * g + lr * w"),
    "a root of a square": ("return sqrt(square(g))", "return abs(g)"),
    "dead chain of state": ("m = lerp(g, m, b); v = v + m; return lr * g", "return lr * g"),
}
DIFFERENT = [
    ("return g", "return neg(g)"),
    ("return g", "return w"),
    ("return lr * g", "return g"),
    ("return g / (sqrt(g * g) + 1e-08)", "return g / (sqrt(g * g) + 1e-06)"),
    ("m = lerp(g, m, 0.9); return m", "m = lerp(g, m, 0.91); return m"),
    ("m = lerp(g, m, 0.999); return m", "m = lerp(g, m, 0.9991); return m"),
    ("m = lerp(g, m, b); v = lerp(g * g, v, b); return m / v", "m = lerp(g, m, b); v = lerp(g * g, v, b); return v / m"),
    ("m = lerp(g, m, b); return m", "x = lerp(g, m, b); m = g; return x"),
    ("m = g; return z", "m = g; z = m; return z"),
    ("return sum(g) * g", "return global_sum(g) * g"),
    ("return mean(g) * g", "return row_mean(g) * g"),
    ("return row_mean(g) * g", "return col_mean(g) * g"),
    ("return max(g, w)", "return min(g, w)"),
    ("x = m; m = v; v = g; return x", "x = m; m = g; return x"),
]


@pytest.mark.parametrize("name", SAME)
def test_thirteen_of_thirteen(name: str) -> None:
    assert len(SAME) == 13
    a, b = map(rule, SAME[name])
    assert real_key(a) == real_key(b) is not None


@pytest.mark.parametrize("name", MORE_SAME)
def test_further_equalities(name: str) -> None:
    a, b = map(rule, MORE_SAME[name])
    assert real_key(a) == real_key(b) is not None


EXACT = [n for n in SAME if n not in ("x*1 and x+0", "scalar associativity", "sign(x) and x/sqrt(x*x)")]


@pytest.mark.parametrize("name", [*EXACT, "dead chain of state"])
def test_what_the_exact_key_sees(name: str) -> None:
    a, b = map(rule, (SAME | MORE_SAME)[name])
    assert exact_key(a) == exact_key(b)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_different_rules_never_merge(a: str, b: str) -> None:
    assert exact_key(rule(a)) != exact_key(rule(b))
    assert real_key(rule(a)) != real_key(rule(b))


def test_zoo_rules_are_all_different() -> None:
    """The fingerprint, which is lossy, takes AdaBound for Adam: its bounds do not bind on a short stream."""
    for key, alike in ((exact_key, 0), (real_key, 0), (lambda p: fingerprint(p)[0], 1)):
        assert len({key(zoo.program(n)) for n in PLAIN}) == len(PLAIN) - alike
    assert fingerprint(zoo.program("adabound"))[0] == fingerprint(zoo.program("adam"))[0]


def test_exact_keys_that_are_equal_mean_equal_bits() -> None:
    """10,000 pairs: each random program against a rewriting of itself, and against everything with its key so far."""
    rng, by_key, pairs = Random(5), {}, 0
    for index in range(5_200):
        program = live_program(rng, rng.choice((2, 3, 5)))
        for candidate in (program, _shuffled(program, rng), _shuffled(program, rng)):
            flow = dataflow(candidate)
            outcome = simulate(flow, behaviour_stream(), {h.name: h.default for h in candidate.hypers})
            key = exact_key(candidate, flow)
            if key in by_key:
                pairs += 1
                updates, finite = by_key[key]
                assert finite == outcome[1] and np.array_equal(updates, outcome[0]), index
            by_key[key] = outcome
    assert pairs >= 10_000
    different = sum(1 for _ in by_key)
    assert different > 2_000


def _shuffled(program: Program, rng: Random) -> Program:
    """An equal program: slots renamed and reordered, dead statements added, operands of + and * exchanged, double negations."""
    from search_space.ops import OPS
    from search_space.program import Assign, Call, Expr, Slot, Var

    names = {s.name: f"q{rng.randrange(10**6)}_{i}" for i, s in enumerate(program.slots)}

    def rewrite(e: Expr) -> Expr:
        if isinstance(e, Var):
            return Var(names.get(e.name, e.name))
        if not isinstance(e, Call):
            return e
        args = tuple(rewrite(a) for a in e.args)
        if OPS[e.op].commutative and OPS[e.op].macro is None and rng.random() < 0.5:
            args = args[::-1]
        out: Expr = Call(e.op, args)
        return Call("neg", (Call("neg", (out,)),)) if rng.random() < 0.2 else out

    body = []
    for s in program.statements():
        body.append(Assign(names.get(s.target, s.target), rewrite(s.value)))
        if rng.random() < 0.2:
            body.append(Assign(f"dead{len(body)}", Call("exp", (Var("g"),))))
    slots = [Slot(names[s.name], s.kind, s.init if isinstance(s.init, str) else rewrite(s.init)) for s in program.slots]
    rng.shuffle(slots)
    return Program(program.name, tuple(slots), program.hypers, tuple(body), rewrite(program.result))


def test_keys_do_not_depend_on_the_process() -> None:
    """Keys go into the run store, so they must not change with Python's hash seed."""
    import os
    import subprocess
    import sys

    code = "from search_space import zoo; from search_space.keys import exact_key"
    code += "; print([exact_key(p).hex() for n in zoo.names() for p in zoo.programs(n)])"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": s}, capture_output=True, text=True, check=True
        ).stdout
        for s in "12"
    }
    assert len(outputs) == 1
