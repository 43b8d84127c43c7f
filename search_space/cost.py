"""Memory and arithmetic of a rule, from its live values."""

from __future__ import annotations

import math
from collections.abc import Sequence

from search_space.dataflow import Dataflow
from search_space.ops import OPS
from search_space.program import Kind
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
