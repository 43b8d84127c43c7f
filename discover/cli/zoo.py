"""`discover zoo`: the known rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from discover.cli import output
from search_space import zoo

TIERS = "ECRAG"
"""Tiers of primitives, from elementwise to across tensors; a rule has the highest that it uses."""


@dataclass(frozen=True)
class Zoo:
    """List the known rules, or show one."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """A rule; without it all are listed."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Print the list or the rule."""
        rules = [_entry(name) for name in ([self.name.replace("-", "_")] if self.name else zoo.names())]
        if self.json:
            texts = {"text": zoo.text(self.name)} if self.name else {}
            output.print_json({"rules": [{**rule, **texts} for rule in rules]})
        elif self.name:
            output.print_text(zoo.text(self.name).rstrip())
            rule = rules[0]
            state, flops = rule["state_bytes_per_param"], rule["flops_per_param"]
            output.print_text(f"\n{state:g} bytes of state and {flops:g} flops for each parameter")
        else:
            keys = ("name", "title", "tier", "slots", "state_bytes_per_param", "flops_per_param")
            rows = [tuple(output.number(r[k], 3) if isinstance(r[k], float) else str(r[k]) for k in keys) for r in rules]
            output.print_table("Known rules", ("name", "title", "tier", "slots", "state B/param", "flops/param"), rows)
        return 0


def _entry(name: str) -> dict[str, Any]:
    from search_space.cost import flops_per_param, state_bytes_per_param  # numpy
    from search_space.dataflow import dataflow
    from search_space.ops import OPS

    flows = [dataflow(program) for program in zoo.programs(name)]
    card = zoo.card(name)
    return {
        "name": name,
        "title": card.get("title", name),
        "source": card.get("source"),
        "verified": card.get("verified"),
        "tier": max((OPS[node.op].tier for flow in flows for node in flow.nodes if node.op in OPS), key=TIERS.index, default="E"),
        "slots": max(len(flow.slots) for flow in flows),
        "state_bytes_per_param": max(map(state_bytes_per_param, flows)),
        "flops_per_param": max(map(flops_per_param, flows)),
    }
