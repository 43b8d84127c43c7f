"""Random programs: valid, and reaching everything."""

from __future__ import annotations

from collections import Counter
from random import Random

from discover.flow import Flow
from discover.generate import hostile_program, random_program
from search_space.dataflow import dataflow
from search_space.ops import CORE_OPS
from search_space.parse import parse
from search_space.printer import to_text
from search_space.program import KINDS, Assign, Call


def test_random_programs_are_valid_and_reach_every_primitive_and_kind() -> None:
    rng, flow = Random(0), Flow()
    used: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    for _ in range(600):
        program = random_program(rng, flow=flow)
        kinds.update(dataflow(program).kinds)
        assert parse(to_text(program)) == program
        assert len(program.body) == 12
        used.update(s.value.op for s in program.body if isinstance(s, Assign) and isinstance(s.value, Call))
    assert set(used) >= set(CORE_OPS)
    assert min(used.values()) >= 20
    assert set(kinds) == set(KINDS)


def test_a_subset_of_primitives_is_respected() -> None:
    rng = Random(1)
    for _ in range(50):
        program = random_program(rng, ops=("add", "sign", "mean"), statements=6, slots=1)
        assert {s.value.op for s in program.body if isinstance(s, Assign) and isinstance(s.value, Call)} <= {"add", "sign", "mean"}


def test_hostile_programs_are_legal() -> None:
    rng, flow = Random(2), Flow()
    sizes = set()
    for _ in range(200):
        program = hostile_program(rng, flow)
        dataflow(program)
        assert parse(to_text(program)) == program
        sizes.add(len(program.body))
    assert max(sizes) == 200
