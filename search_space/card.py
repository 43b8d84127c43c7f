"""The card of a known rule: what its file says about it, and what follows from its text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search_space import zoo
from search_space.cost import cost_per_step, flops_per_param, state_bytes_per_param
from search_space.dataflow import Dataflow, dataflow, point_program
from search_space.lowering import lower
from search_space.ops import OPS
from search_space.program import Hyper, Program, RuleError
from search_space.units import Scale, degree

TIERS = "ECRAGNSHM"
"""Tiers of primitives in order: elementwise, step control, per tensor, row/column, across tensors, noise, order, history, matrix."""


@dataclass(frozen=True)
class Card:
    """One known rule. Rules with a function for each role show the largest of their parts, hyperparameters of all.

    `state_bytes` and `flops` are per parameter of a 256 × 256 matrix; `evaluations` a step, `total` in gradients; `interpreted` says
    whether the population interpreter can run it.
    """

    name: str
    kind: str
    title: str
    source: str
    year: int
    row: str
    certainty: str
    learning_rate: float
    verified: str
    note: str
    tier: str
    statements: int
    slots: int
    hypers: tuple[Hyper, ...]
    state_bytes: float
    flops: float
    evaluations: dict[str, float]
    interpreted: bool


def card(name: str) -> Card:
    """The card of a rule. Raises `RuleError` for an unknown name."""
    said, programs = zoo.card(name), zoo.programs(name)
    flows = [dataflow(p) for p in programs]
    return Card(
        name=name.replace("-", "_"),
        kind=zoo.kind(name),
        title=said["title"],
        source=said["source"],
        year=int(said["year"]),
        row=said["row"],
        certainty=said["certainty"],
        learning_rate=float(said["learning-rate"]),
        verified=said["verified"],
        note=said.get("note", ""),
        tier=max((tier(f) for f in (*flows, *_points(programs))), key=TIERS.index),
        statements=max(len(p.statements()) + 1 for p in programs),
        slots=max(len(f.slots) for f in flows),
        hypers=tuple(dict.fromkeys(h for p in programs for h in p.hypers)),
        state_bytes=max(state_bytes_per_param(f) for f in flows),
        flops=max(flops_per_param(f) for f in flows),
        evaluations=max((cost_per_step(p) for p in programs), key=lambda c: c["total"]),
        interpreted=all(_interpreted(f) for f in flows),
    )


def _points(programs: Sequence[Program]) -> list[Dataflow]:
    """The expressions that query plans and views evaluate."""
    points = [(p, e.point, p.plan) for p in programs for e in p.plan if e.point is not None]
    points += [(p, p.view, ()) for p in programs if p.view is not None]
    return [dataflow(point_program(p, expr, earlier)) for p, expr, earlier in points]


def tier(flow: Dataflow) -> str:
    """The highest tier of primitives that a rule uses."""
    return max((OPS[node.op].tier for node in flow.nodes if node.op in OPS), key=TIERS.index, default="E")


def _interpreted(flow: Dataflow) -> bool:
    try:
        lower(flow)
    except RuleError:
        return False
    return True


def degree_line(programs: Sequence[Program], scale: Scale = "gradient") -> str:
    """How the update scales, in words: "0 if eps is scaled by c^1", or why it does not."""
    lines = []
    for program in programs:
        found = degree(program, scale)
        if found.update is None:
            lines.append(f"not homogeneous (at {found.reason})")
            continue
        scaled = ", ".join(f"{name} by c^{power:g}" for name, power in found.hypers.items())
        lines.append(f"{found.update:g}" + (f" if one scales {scaled}" if scaled else ""))
    return "; ".join(dict.fromkeys(lines))
