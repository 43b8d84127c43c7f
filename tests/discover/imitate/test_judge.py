"""The verdict: near misses are rejected, rewritten equals accepted."""

from __future__ import annotations

import numpy as np
import pytest

from discover.imitate.judge import additive_decay, compare, judge
from discover.imitate.target import Recording, default_streams, record, record_program
from search_space.parse import parse_program

ADAM = """def adam(w, g, lr, *, m: full = zeros, v: full = zeros, b1: unit = {b1}, b2: unit = {b2}, eps: scale = {eps}):
    m = lerp(g, m, b1)
    v = lerp(g * g, v, b2)
    return lr * debias(m, b1, t) / (sqrt(debias(v, b2, t)) + eps)"""

LION = """def lion(w, g, lr, *, m: full = zeros, b1: unit = {b1}, b2: unit = 0.99):
    u = sign(lerp(g, m, b1))
    m = lerp(g, m, b2)
    return lr * u"""


@pytest.fixture(scope="module")
def adam() -> Recording:
    return record_program(parse_program(ADAM.format(b1=0.9, b2=0.999, eps=1e-8)), default_streams(0))


@pytest.mark.parametrize("change", [{"b2": 0.99}, {"b1": 0.89}, {"eps": 1e-6}, {"b2": 0.998}])
def test_near_misses_are_rejected(adam: Recording, change: dict[str, float]) -> None:
    program = parse_program(ADAM.format(**{"b1": 0.9, "b2": 0.999, "eps": 1e-8, **change}))
    assert not judge(program, adam).equivalent


def test_rewritten_equals_are_accepted(adam: Recording) -> None:
    text = """def other(w, g, lr, *, s: full = zeros, q: full = zeros, a: unit = 0.9, b: unit = 0.999, eps: scale = 1e-08):
    s = a * s + g
    q = b * q + square(g)
    top = s * (1.0 - a) / (1.0 - a ** t)
    return lr * top / (eps + sqrt(debias(q * (1.0 - b), b, t)))"""
    verdict = judge(parse_program(text), adam)
    assert verdict.equivalent and verdict.flips is None


def test_signs_are_judged_by_flips() -> None:
    recording = record_program(parse_program(LION.format(b1=0.9)), default_streams(0))
    same = parse_program(LION.format(b1=0.9).replace("sign(lerp(g, m, b1))", "sign(0.5 * (1.0 - b1) * g + 0.5 * b1 * m)"))
    verdict = judge(same, recording)
    assert verdict.equivalent and verdict.flips is not None and verdict.flips <= 2.5e-5
    assert not judge(parse_program(LION.format(b1=0.91)), recording).equivalent


def test_held_out_data_does_not_depend_on_the_seed() -> None:
    first, second = default_streams(1).held_out, default_streams(2).held_out
    assert np.array_equal(first.g, second.g) and first.g.size >= 2_000_000
    assert (first.g == 0).any() and len(first.layout.shapes) >= 3


def test_small_scales_count() -> None:
    rng = np.random.default_rng(0)
    wanted = rng.standard_normal((2, 50, 10)) * np.array([1e3, 1e-3])[:, None, None]
    mine = wanted.copy()
    mine[1] *= 1.01
    assert not compare(mine, wanted, np.ones_like(wanted)).equivalent


def test_non_finite_updates_are_rejected() -> None:
    wanted = np.ones((1, 4, 3))
    assert not compare(wanted * np.nan, wanted, wanted).equivalent


def test_weight_decay_beside_a_sign() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal(10_000) * 2
    assert additive_decay(np.sign(rng.standard_normal(10_000)) + 0.1 * w, w) == pytest.approx(0.1, rel=1e-6)


def test_zoo_rule_equals_optax() -> None:
    recording = record("optax:adam", default_streams(0))
    assert judge(parse_program(ADAM.format(b1=0.9, b2=0.999, eps=1e-8)), recording).equivalent
