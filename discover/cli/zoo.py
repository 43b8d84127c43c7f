"""`discover zoo`: the known rules."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from discover.cli import output
from discover.cli.checks import check_choice
from search_space import zoo

if TYPE_CHECKING:
    from search_space.card import Card

COLUMNS = ("name", "title", "kind", "year", "tier", "slots", "state B/param", "flops/param", "gradients/step")


@dataclass(frozen=True)
class Zoo:
    """List the known rules, or show one with its card, its formula and how to verify it."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="NAME")] = None
    """A rule; without it all are listed."""
    kind: str | None = None
    """Only this kind: elementwise, tensor, matrix, oracle, wrapper or schedule."""
    tier: str | None = None
    """Only rules whose primitives are of this tier or lower: E, C, R, A, G, N, S, H, M."""
    max_bytes: float | None = None
    """Only rules with at most so many bytes of state for each parameter (of a 256 × 256 matrix)."""
    max_cost: float | None = None
    """Only rules that need at most so many gradients a step."""
    since: int | None = None
    """Only rules published in this year or later."""
    json: bool = False
    """Print one JSON object."""

    def execute(self) -> int:
        """Print the list or the rule."""
        if self.name:
            self._show(self.name.replace("-", "_"))
        else:
            self._list()
        return 0

    def _list(self) -> None:
        from search_space.card import TIERS, card

        if self.kind:
            check_choice("kind", self.kind, zoo.KINDS)
        if self.tier:
            check_choice("tier", self.tier, tuple(TIERS))
        cards = [c for c in map(card, zoo.names()) if self._wanted(c, TIERS)]
        if self.json:
            output.print_json({"rules": [_entry(c) for c in cards]})
            return
        rows = [_row(c) for c in cards]
        output.print_table(f"{len(cards)} known rules", COLUMNS, rows)

    def _wanted(self, card: Card, tiers: str) -> bool:
        return (
            (self.kind is None or card.kind == self.kind)
            and (self.tier is None or tiers.index(card.tier) <= tiers.index(self.tier))
            and (self.max_bytes is None or card.state_bytes <= self.max_bytes)
            and (self.max_cost is None or card.evaluations["total"] <= self.max_cost)
            and (self.since is None or card.year >= self.since)
        )

    def _show(self, name: str) -> None:
        from search_space.card import card, degree_line
        from search_space.latex import to_latex

        text, found = zoo.text(name), card(name)
        latex, degree = to_latex(zoo.load(name)), degree_line(zoo.programs(name))
        if self.json:
            output.print_json({"rules": [{**_entry(found), "text": text, "latex": latex, "degree": degree, "check": check_line(name)}]})
            return
        output.print_text(text.rstrip() + "\n")
        output.print_table(name, ("", ""), [*_facts(found), ("degree in the gradient's scale", degree)])
        output.print_text(latex + f"\n\ncheck: {check_line(name)}")


def check_line(name: str) -> str:
    """The command that verifies a rule against its reference (in a checkout of the project)."""
    return f'python -m pytest "tests/search_space/zoo/test_references.py::test_equal_to_its_reference[{name}]"'


def _entry(card: Card) -> dict[str, Any]:
    fields = asdict(card)
    return {**fields, "state_bytes_per_param": fields.pop("state_bytes"), "flops_per_param": fields.pop("flops")}


def _row(card: Card) -> tuple[str, ...]:
    figures = [output.number(x, 3) for x in (card.state_bytes, card.flops, card.evaluations["total"])]
    return (card.name, card.title, card.kind, str(card.year), card.tier, str(card.slots), *figures)


def _facts(card: Card) -> list[tuple[str, str]]:
    hypers = ", ".join(f"{h.name} = {h.default:g} ({h.prior})" for h in card.hypers)
    evaluations = ", ".join(f"{count:.3g} × {what}" for what, count in card.evaluations.items() if what != "total")
    return [
        ("source", f"{card.source} ({card.year})"),
        ("catalogue row", f"{card.row}, certainty {card.certainty}"),
        ("learning rate", f"{card.learning_rate:g}"),
        ("hyperparameters", hypers or "none"),
        ("size", f"{card.statements} statements, {card.slots} slots, tier {card.tier}"),
        ("state", f"{card.state_bytes:.4g} bytes for each parameter"),
        ("arithmetic", f"{card.flops:.4g} flops for each parameter"),
        ("evaluations a step", f"{evaluations or 'none'}; {card.evaluations['total']:.3g} in gradients"),
        ("population interpreter", "runs it" if card.interpreted else "does not run it; compiled only"),
        ("verified", card.verified),
        *([("note", card.note)] if card.note else []),
    ]
