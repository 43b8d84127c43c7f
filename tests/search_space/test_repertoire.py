"""An interpreter of the instructions that are needed computes the same bits as the whole one."""

from __future__ import annotations

from random import Random

import jax
import jax.numpy as jnp
import numpy as np

from search_space import zoo
from search_space.encode import encode, stack
from search_space.interpreter import batch_optimizer
from search_space.layout import Layout
from search_space.parse import parse_program
from search_space.repertoire import ALL, repertoire
from tests.search_space.programs import live_program

SHAPES = ((3, 2), (4,))


def test_a_rule_needs_few_instructions() -> None:
    known = repertoire([encode(zoo.program("adam"))])
    assert sum(map(len, known)) < 0.15 * sum(map(len, ALL))
    assert all(set(some) <= set(every) for some, every in zip(known, ALL, strict=True))


def test_no_bank_is_empty() -> None:
    assert all(len(bank) == 1 for bank in repertoire([]))
    assert all(repertoire([encode(parse_program("def r(w, g, lr):\n    return g"))]))


def test_the_bits_are_those_of_the_whole_interpreter() -> None:
    rng = Random(4)
    programs = [zoo.program(name) for name in ("lamb", "adafactor", "lion")] + [live_program(rng, 10) for _ in range(5)]
    code = [encode(program) for program in programs]
    known, draws = repertoire(code), np.random.default_rng(0)
    leaves = [[jnp.asarray(draws.normal(size=(len(code), *shape)), jnp.float32) for shape in SHAPES] for _ in range(3)]
    found = []
    for instructions in (ALL, known):
        tx = batch_optimizer(Layout(SHAPES), stack(code), repertoire=instructions)
        update, state = jax.jit(tx.update), tx.init(leaves[0])
        for g in leaves:
            updates, state = update(g, state, leaves[0], jnp.full(len(code), 0.1))
            found.append([np.asarray(u) for u in updates])
    assert known != ALL
    for whole, needed in zip(found[:3], found[3:], strict=True):
        for a, b in zip(whole, needed, strict=True):
            np.testing.assert_array_equal(a, b)
