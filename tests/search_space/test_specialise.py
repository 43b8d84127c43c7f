"""A decay of zero leaves no trace: same updates, no weights read."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from search_space import optimizer, zoo
from search_space.dataflow import dataflow
from search_space.program import Program
from search_space.reference import Reference
from search_space.specialise import without
from tests.search_space.agreement import SHAPES, queries, streams

DECAY = frozenset({"decay"})
PROGRAMS = [(f"{n}-{k}", p) for n in zoo.names() for k, p in enumerate(zoo.programs(n)) if any(h.name == "decay" for h in p.hypers)]


@pytest.mark.parametrize(("name", "program"), PROGRAMS, ids=[n for n, _ in PROGRAMS])
def test_equal_to_the_rule_at_zero(name: str, program: Program) -> None:
    reduced = without(program, DECAY)
    assert "decay" not in {h.name for h in reduced.hypers}
    full, less = Reference(program, SHAPES, {"decay": 0.0}), Reference(reduced, SHAPES)
    a, b = full.init(), less.init()
    for step, (g, w) in enumerate(streams(3)):
        asked = queries(program, step)
        x, a = full.update(g, a, w, 0.1, asked)
        y, b = less.update(g, b, w, 0.1, asked)
        for one, other in zip(x, y, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("name", ["sgd", "adam", "lion", "momentum", "rmsprop"])
def test_weights_are_not_read(name: str) -> None:
    flow = dataflow(without(zoo.program(name), DECAY))
    assert all(n.ref != "w" for n in flow.nodes if n.op == "input")
    tx = optimizer(name, 0.1)
    g: Any = jnp.ones(3)
    tx.update(g, tx.init(g))  # no params needed
    with pytest.raises(ValueError, match="reads the weights"):
        decayed = optimizer(name, 0.1, decay=0.1)
        decayed.update(g, decayed.init(g))
