"""Which known rules a search could propose: single programs over gradient and weights that the interpreter holds."""

from __future__ import annotations

from search_space import zoo
from search_space.dataflow import dataflow
from search_space.ops import OPS
from search_space.program import KINDS, Program


def beyond_the_interpreter(program: Program) -> bool:
    """Whether it uses more than the tiers E, C, R, A and G and the inputs gradient, weights and learning rate."""
    flow = dataflow(program)
    known = all(n.op not in OPS or OPS[n.op].tier in "ECRAG" for n in flow.nodes) and all(s.kind in KINDS for s in flow.slots)
    return bool(program.queries or program.plan) or not known


def plain(name: str) -> bool:
    """Whether the rule is one update rule for all tensors, evaluated where it trains, and within the interpreter."""
    programs = zoo.programs(name)
    one = len(programs) == 1 and programs[0].view is None
    return zoo.kind(name) in ("elementwise", "tensor") and one and not beyond_the_interpreter(programs[0])


PLAIN: tuple[str, ...] = tuple(name for name in zoo.names() if plain(name))
"""Names of such rules."""
