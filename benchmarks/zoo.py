"""The page docs/zoo.md: every known rule, what it was verified against, and its worst error, measured now.

`python -m benchmarks.zoo` measures all rules (about 3 s each) and rewrites the page; `--only NAME …` measures some and keeps the
other figures; `--float32 NAME …` prints beside the error of a rule with a query plan that of its formula itself in float32.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from search_space import zoo
from search_space.card import Card, card, degree_line

PAGE = Path(__file__).parents[1] / "docs" / "zoo.md"
ROWS = re.compile(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", re.M)

HEAD = """# The zoo: known update rules as programs

Written by `python -m benchmarks.zoo`; a test keeps it equal to the rules. {count} rules. *Worst error* is the largest relative L2 error
of a whole update against the reference named beside it (optax in float64, or the author's formula in NumPy float64), over 200 steps on
tensors of five shapes, two seeds, two learning rates, float32. *State* is bytes for each parameter of a 256 × 256 matrix, *cost* is
evaluations a step in gradients, *degree* the power by which the update scales with the gradient. Tiers: E elementwise, C step control,
R per tensor, A rows and columns, G across tensors, N noise, S order statistics, H history, M matrix. A `*` after the tier: compiled only.

The interpreter runs {interpreted} of the {count}; the others ask for more than a gradient, are evaluated at other weights, wrap another
rule, have a rule for each role, or use matrices, noise, order statistics or history.
More than 16 statements: {long}. More than 6 slots: {wide}.
"""
COLUMNS = "| rule | title | row | certainty | year | tier | lines | slots | state | cost | degree | verified against | worst error |"


def page(errors: Mapping[str, str]) -> str:
    """The whole page, given the text of each rule's error."""
    cards = [card(name) for name in zoo.names()]
    parts = [
        HEAD.format(
            count=len(cards),
            interpreted=sum(c.interpreted for c in cards),
            long=_names(c for c in cards if c.statements > 16),
            wide=_names(c for c in cards if c.slots > 6),
        )
    ]
    for kind in zoo.KINDS:
        chosen = [c for c in cards if c.kind == kind]
        parts.append(f"\n## {kind.capitalize()} rules ({len(chosen)})\n\n{COLUMNS}\n|{'---|' * 13}")
        parts += [_row(c, errors.get(c.name, "not measured")) for c in chosen]
    return "\n".join([*parts, *_by_row(cards, errors), _missing()]).rstrip() + "\n"


def _names(cards: Iterable[Card]) -> str:
    return ", ".join(f"`{c.name}`" for c in cards) or "none"


def _by_row(cards: Sequence[Card], errors: Mapping[str, str]) -> list[str]:
    """Catalogue row → its rules, with the worst error of each."""
    rows: dict[int, list[Card]] = {}
    for c in cards:
        for row in c.row.split(", "):
            if row.isdigit():
                rows.setdefault(int(row), []).append(c)
    lines = [f"\n## By catalogue row ({len(rows)} rows)\n\n| row | certainty | rules (worst error) |\n|---|---|---|"]
    for row, found in sorted(rows.items()):
        shown = ", ".join(f"`{c.name}` ({errors.get(c.name, 'not measured')})" for c in found)
        lines.append(f"| {row} | {found[0].certainty} | {shown} |")
    return lines


def _row(c: Card, error: str) -> str:
    tier = c.tier + ("" if c.interpreted else "*")
    figures = (c.row, c.certainty, c.year, tier, c.statements, c.slots, f"{c.state_bytes:.3g}", f"{c.evaluations['total']:.3g}")
    note = f" ({c.note.replace('|', chr(92) + '|')})" if c.note else ""
    shown = " | ".join(str(x) for x in figures)
    return f"| `{c.name}` | {c.title}, {c.source} | {shown} | {degree_line(zoo.programs(c.name))} | {c.verified}{note} | {error} |"


def _missing() -> str:
    """Rows of the catalogue that have no rule, with the reason."""
    text = (Path(__file__).parent / "zoo_missing.md").read_text(encoding="utf-8")
    return f"\n## Rows without a rule\n\n{text}"


def recorded() -> dict[str, str]:
    """The errors that the page shows."""
    return dict(ROWS.findall(PAGE.read_text(encoding="utf-8"))) if PAGE.exists() else {}


def main() -> None:
    """Measure and write."""
    from tests.search_space.zoo.harness import worst_error

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=zoo.names(), help="measure these and keep the other figures")
    parser.add_argument("--float32", nargs="+", choices=zoo.names(), help="compare these with their formulas in float32")
    arguments = parser.parse_args()
    if arguments.float32:
        return _beside_float32(arguments.float32)
    chosen = arguments.only
    errors = recorded() if chosen is not None else {}
    for name in zoo.names() if chosen is None else chosen:
        errors[name] = f"{worst_error(name):.0e}".replace("e-0", "e-")
        print(name, errors[name], flush=True)
    PAGE.write_text(page(errors), encoding="utf-8")


def _beside_float32(names: Sequence[str]) -> None:
    from tests.search_space.zoo.authors import REFERENCES
    from tests.search_space.zoo.authors.problem import float32_errors
    from tests.search_space.zoo.harness import worst_error

    for name in names:
        print(f"{name}: {worst_error(name):.1e}, its formula in float32 {max(float32_errors(name, REFERENCES[name])):.1e}", flush=True)


if __name__ == "__main__":
    main()
