"""Genomes and their mutations: always legal, always the same text after a round trip, inside the constraints."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discover.flow import Flow
from discover.genome import Genome, flatten, from_json, from_program, to_json, to_program
from discover.mutate import Mutator
from discover.space import Space
from discover.subjects import executed
from search_space import zoo
from search_space.dataflow import dataflow
from search_space.keys import exact_key
from search_space.parse import parse, parse_program
from search_space.printer import to_text
from tests.search_space.known import PLAIN


def genome(name: str) -> Genome:
    return from_program(zoo.program(name))


def walk_about(mutator: Mutator, start: Genome, seed: int, count: int) -> list[Genome]:
    """A chain of mutations, each from the one before."""
    rng, walk, path = Random(seed), mutator.flow.walk(start), []
    for _ in range(count):
        child = mutator.mutate(start, walk, rng)
        start, walk = child.genome, child.walk
        path.append(start)
    return path


@pytest.mark.parametrize("name", PLAIN)
def test_flattening_keeps_the_meaning(name: str) -> None:
    program = zoo.program(name)
    flat = flatten(program)
    assert exact_key(flat) == exact_key(program)
    assert flatten(flat) == flat


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(PLAIN))
def test_mutated_programs_are_legal_and_round_trip(seed: int, name: str) -> None:
    mutator = Mutator(Space(), Flow())
    for child in walk_about(mutator, genome(name), seed, 50):
        program = to_program(child)
        dataflow(program)  # the authority on kinds and names
        assert parse(to_text(program)) == program
        assert from_json(to_json(child)) == child


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_incremental_walks_agree_with_walks_from_the_top(seed: int) -> None:
    mutator, rng = Mutator(Space(), Flow()), Random(seed)
    start = genome("adamw")
    walk = mutator.flow.walk(start)
    for _ in range(100):
        child = mutator.mutate(start, walk, rng)
        assert mutator.flow.walk(child.genome) == child.walk
        start, walk = child.genome, child.walk


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6))
def test_equal_live_forms_have_equal_exact_keys(seed: int) -> None:
    flow = Flow()
    keys: dict[tuple[int, ...], bytes] = {}
    for child in walk_about(Mutator(Space(), flow), genome("adam"), seed, 120):
        walk = flow.walk(child)
        assert walk.form is not None
        key = exact_key(to_program(child))
        assert keys.setdefault(walk.form, key) == key
        assert exact_key(executed(child, walk, flow)) == key, "dropping dead lines changed the rule"


def test_constraints_hold() -> None:
    space = Space(ops=("sign", "lerp", "mul", "add"), max_slots=2, max_statements=9, slot_kinds=("full",))
    sizes, slots = set(), set()
    for seed in range(20):
        for child in walk_about(Mutator(space, Flow()), genome("sgd"), seed, 100):
            assert {op for _, op, _ in child.lines} <= {*space.ops, ""}
            sizes.add(len(child.lines))
            slots.add(len(child.slots))
            assert "t" not in {arg for _, _, args in child.lines for arg in args}
    assert max(sizes) == 9 and max(slots) == 2, "the limits were never reached, so this test shows nothing"


def test_hyper_only_changes_numbers_only() -> None:
    space = Space(weights=(("hyper", 1.0),))
    start = genome("adamw")
    moved = walk_about(Mutator(space, Flow()), start, 0, 200)
    assert all(child.lines == start.lines and child.result == start.result for child in moved)
    assert len({child.hypers for child in moved}) > 150
    for child in moved:
        assert all(0.0 <= h.default <= 1.0 for h in child.hypers if h.prior == "unit")


def test_every_change_happens_and_failures_are_named() -> None:
    mutator, rng, changes = Mutator(Space(), Flow()), Random(1), Counter()
    start = genome("adamw")
    walk = mutator.flow.walk(start)
    for _ in range(1500):
        changes[mutator.mutate(start, walk, rng).change] += 1
    assert {"insert", "delete", "modify", "result", "add_slot", "remove_slot"} <= set(changes)
    assert abs(changes["insert"] - changes["delete"]) < 200 and abs(changes["insert"] - changes["modify"]) < 200
    assert mutator.failures and all(reason for reason in mutator.failures)


def test_dead_lines_stay_in_the_genome_and_leave_the_executed_form() -> None:
    head = "def r(w, g, lr, *, m: full = zeros, z: full = zeros):\n"
    text = head + "    m = lerp(g, m, 0.9)\n    z = m * m\n    u = sign(w)\n    return lr * m\n"
    flow = Flow()
    start = from_program(parse_program(text))
    assert len(start.lines) == 4
    program = executed(start, flow.walk(start), flow)
    assert [s.name for s in program.slots] == ["m"] and len(program.body) == 2
