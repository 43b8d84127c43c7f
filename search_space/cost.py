"""Memory, arithmetic and evaluations of a rule, from its live values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search_space.dataflow import Dataflow, dataflow, point_program
from search_space.ops import OPS
from search_space.program import Kind, Program
from search_space.tensors import kind_shape

_NOMINAL: tuple[tuple[int, ...], ...] = ((256, 256),)


def state_bytes_per_param(flow: Dataflow, shapes: Sequence[tuple[int, ...]] = _NOMINAL) -> float:
    """Bytes of float32 state for each parameter of tensors of these shapes (default one 256 × 256 matrix)."""
    return 4.0 * sum(_elements(s.kind, shapes, s.depth) for s in flow.slots) / _elements("full", shapes)


def flops_per_param(flow: Dataflow, shapes: Sequence[tuple[int, ...]] = _NOMINAL) -> float:
    """Floating-point operations a step for each parameter; a primitive costs its row's figure at its largest argument."""
    total = 0.0
    for index, node in enumerate(flow.nodes):
        if node.op in OPS:
            kinds: list[Kind] = [flow.kinds[index], *(flow.kinds[a] for a in node.args)]
            total += OPS[node.op].flops * max(_elements(k, shapes) for k in kinds)
    return total / _elements("full", shapes)


def _elements(kind: Kind, shapes: Sequence[tuple[int, ...]], depth: int = 1) -> int:
    return 1 if kind == "global" else sum(math.prod(kind_shape(kind, s, depth)) for s in shapes)


COST = {
    "gradient": 1.0,
    "value": 1 / 3,
    "hessian_vector": 2.0,
    "gauss_newton_vector": 2.0,
    "sampled_gradient": 1.0,
    "mean_square_gradient": 1.0,
    "hessian_diagonal": 2.0,
    "vector": 0.0,
}
"""Cost of one evaluation, in gradients of the batch."""

_GIVEN = {"h": "hessian_diagonal", "g2": "mean_square_gradient"}
"""Query inputs that a training loop makes at a cost."""


def reads_gradient(program: Program) -> bool:
    """Whether the rule, or a point of its plan, uses the gradient at the weights; a rule without a plan always gets one."""
    programs = [program, *(point_program(program, e.point, program.plan) for e in program.plan if e.point is not None)]
    reads = any(n.op == "input" and n.ref in ("g", "f") for p in programs for n in dataflow(p).nodes)
    return reads or not any(e.what in ("gradient", "sampled_gradient") for e in program.plan)


def cost_per_step(program: Program) -> dict[str, float]:
    """Evaluations of each kind a step, averaged over its period; `total` in gradients."""
    counts = {"gradient": 1.0} if reads_gradient(program) else {}
    for query in program.queries:
        if query in _GIVEN:
            counts[_GIVEN[query]] = 1.0
    for evaluation in program.plan:
        counts[evaluation.what] = counts.get(evaluation.what, 0.0) + 1.0 / evaluation.every
    return {**counts, "total": sum(COST[what] * count for what, count in counts.items())}
