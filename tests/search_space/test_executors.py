"""Reference, interpreter and compiler agree: on the zoo, on random programs over every primitive, on exact small cases."""

from __future__ import annotations

from collections import Counter
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from search_space import zoo
from search_space.dataflow import dataflow
from search_space.encode import encode, stack
from search_space.interpreter import batch_optimizer
from search_space.layout import Layout
from search_space.ops import BASE_OPS
from search_space.parse import parse_program
from search_space.program import RuleError
from search_space.reference import Reference
from tests.search_space.agreement import check, close
from tests.search_space.known import beyond_the_interpreter
from tests.search_space.programs import live_program

ZOO = {f"{name} {p.name}": p for name in zoo.names() for p in zoo.programs(name)}
BEYOND = [name for name, p in ZOO.items() if beyond_the_interpreter(p)]


ARBITRARY_BASES = ("galore galore", "online_subspace_descent online_subspace_descent", "soap soap")
"""Their eigenvectors are arbitrary where a gradient has no full rank, as the vectors and kernels of this comparison: one ulp turns them."""


def test_the_interpreter_holds_every_zoo_rule_of_its_tiers() -> None:
    """None is too large: a rule is refused for what it asks for, and for nothing else."""
    refused = []
    for name, program in ZOO.items():
        try:
            encode(program)
        except RuleError as error:
            refused.append(name)
            assert "the interpreter has no" in str(error)
    assert refused == BEYOND
    assert len(ZOO) - len(refused) >= 70


@pytest.mark.parametrize("expected", ["agree", "too large"])
def test_zoo_agrees(expected: str) -> None:
    """Interpreter, compiler and reference; compiler and reference alone for rules beyond the interpreter."""
    names = [name for name in ZOO if (name in BEYOND) == (expected == "too large")]
    outcome = dict(zip(names, check([ZOO[n] for n in names]).outcome, strict=True))
    assert {n for n, o in outcome.items() if o != expected} == {n for n in ARBITRARY_BASES if n in names}
    assert {outcome[n] for n in ARBITRARY_BASES if n in names} <= {"sensitive"}


def test_random_programs_agree_and_cover_every_primitive() -> None:
    rng = Random(1)
    programs = [live_program(rng, rng.choice((4, 8, 14))) for _ in range(240)]
    used = Counter(node.op for p in programs for node in dataflow(p).nodes)
    assert not set(BASE_OPS) - set(used)
    verdicts = check(programs, compile_every=6)
    assert verdicts.counts()["disagree"] == 0, [o for o in verdicts.outcome if o not in ("agree", "sensitive", "too large")]
    assert verdicts.counts()["sensitive"] <= 0.05 * len(programs)
    assert verdicts.counts()["agree"] >= 0.9 * len(programs)


def test_the_comparison_notices_a_wrong_executor() -> None:
    assert not close([1.001], [1.0], largest=1.0)
    assert close([1.00005], [1.0], largest=1.0)


@pytest.mark.parametrize("value", [1.2e-38, -3e-39, 1e-40])
def test_denormals_flush_to_zero_everywhere(value: float) -> None:
    program = parse_program("def r(w, g, lr, *, s: full = zeros):\n    s = g * 0.5\n    return where(s, 1.0, 2.0)")
    g = [np.full((2,), value, np.float32)]
    expected, _ = Reference(program, [(2,)]).update(g, Reference(program, [(2,)]).init(), g, 1.0)
    assert np.all(expected[0] == -2.0)
    layout = Layout(((2,),))
    tx = batch_optimizer(layout, stack([encode(program)]))
    batched = [jnp.asarray(x)[None] for x in g]
    updates, _ = jax.jit(lambda g: tx.update(g, tx.init(g), g, jnp.ones(1)))(batched)
    assert np.all(np.asarray(updates[0]) == -2.0)


def test_members_programs_and_rates_do_not_mix() -> None:
    """P programs × B members in both orders equal one program and one member at a time."""
    names, rates = ("lion", "lamb", "adafactor"), (0.1, 0.01)
    shapes = ((3, 2), (4,))
    layout, rng = Layout(shapes), np.random.default_rng(3)
    code = stack([encode(zoo.program(n)) for n in names])
    members = [[np.asarray(rng.normal(size=s), np.float32) for s in shapes] for _ in rates]
    for fastest in (False, True):
        order = [(p, b) for b in range(2) for p in range(3)] if fastest else [(p, b) for p in range(3) for b in range(2)]
        leaves = [jnp.stack([members[b][k] for _, b in order]) for k in range(2)]
        tx = batch_optimizer(layout, code, programs_fastest=fastest)
        updates, state = jax.jit(lambda x, lr, tx=tx: tx.update(x, tx.init(x), x, lr))(leaves, jnp.asarray([rates[b] for _, b in order]))
        assert np.asarray(tx.finite(updates, state)).all()
        for i, (p, b) in enumerate(order):
            rule = Reference(zoo.program(names[p]), shapes)
            expected, _ = rule.update(members[b], rule.init(), members[b], rates[b])
            for k in range(2):
                np.testing.assert_allclose(np.asarray(updates[k][i]), expected[k], rtol=2e-5, atol=1e-7)


@pytest.mark.parametrize("size", [2, 2000])  # a sum of few, a product of many
def test_failure_is_remembered_for_the_member_that_failed(size: int) -> None:
    program = parse_program("def r(w, g, lr, *, s: full = ones):\n    u = g / s\n    s = w\n    return lr * u")
    layout = Layout(((size,),))
    tx = batch_optimizer(layout, stack([encode(program)]))
    g, w = [jnp.ones((2, size))], [jnp.ones((2, size)).at[0, 0].set(0.0)]
    state = tx.init(g)
    updates, state = tx.update(g, state, w, jnp.ones(2))
    assert np.asarray(tx.finite(updates, state)).tolist() == [True, True]
    updates, state = tx.update(g, state, [jnp.ones((2, size))], jnp.ones(2))  # the first member divides by 0 now
    updates, state = tx.update(g, state, w, jnp.ones(2))
    assert np.asarray(tx.finite(updates, state)).tolist() == [False, True]


def test_programs_that_do_not_fit_say_so() -> None:
    body = "\n".join(f"    x{i} = sin(x{i - 1})" for i in range(1, 80))
    with pytest.raises(RuleError, match="too large for the interpreter"):
        encode(parse_program(f"def r(w, g, lr):\n    x0 = g\n{body}\n    return x79"))
    with pytest.raises(RuleError, match="query input 'h'"):
        encode(parse_program("def r(w, g, lr, h):\n    return g / h"))


def test_slots_may_exchange_values() -> None:
    text = "def r(w, g, lr, *, a: full = ones, b: full = zeros):\n    x = a\n    a = b + g\n    b = x\n    return a"
    assert check([parse_program(text)], jit=True).outcome == ["agree"]
