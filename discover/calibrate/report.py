"""The tables of a calibration, in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from discover.calibrate.choice import choose, predictors
from discover.calibrate.plan import FAMILIES, SIZES, Size
from discover.calibrate.run import Calibration
from discover.calibrate.statistics import REPLICATES, Version, agreement, pooled
from tasks.splits import use_of

PAIRS: tuple[tuple[Size, Size], ...] = (("micro", "small"), ("small", "medium"), ("micro", "medium"))
MOST = 4
"""Search tasks that are chosen, at most."""


def report(calibration: Calibration, replicates: int = REPLICATES) -> str:
    """All tables that the finished versions allow."""
    versions: Versions = {(f, s): v for f in calibration.plan.families for s in FAMILIES[f] if (v := calibration.version(f, s)) is not None}
    parts = [_within(versions, cheap, dear, replicates) for cheap, dear in PAIRS]
    parts += [_across(calibration, versions, replicates), _costs(calibration, versions)]
    return "\n\n".join(part for part in parts if part)


Versions = dict[tuple[str, Size], Version]


def _within(versions: Versions, cheap: Size, dear: Size, replicates: int) -> str:
    """The primary statistic: correlations within families, beside their ceiling; then pooled."""
    families = [f for f, size in versions if size == cheap and (f, dear) in versions]
    if not families:
        return ""
    rows = []
    for family in families:
        a = agreement(versions[family, cheap], versions[family, dear], replicates=replicates)
        share = f"{a.spearman / a.ceiling:.2f}" if a.ceiling > 0 else "–"
        shown = (_with(a.spearman, a.spearman_interval), _with(a.ceiling, a.ceiling_interval), share, _with(a.kendall, a.kendall_interval))
        rows.append((a.spearman, [family, str(use_of(family)), *shown]))
    rows.sort(key=lambda row: -row[0])
    value, low, high = pooled([(versions[f, cheap], versions[f, dear]) for f in families], replicates=replicates)
    count = len(next(iter(versions.values())).test)
    median = float(np.median([row[0] for row in rows]))
    title = f"{cheap} against {dear}: {count} rules, {len(families)} families; median {median:.2f}, pooled {_with(value, (low, high))}"
    columns = ["family", "split", "Spearman [95 %]", "ceiling [95 %]", "share of the ceiling", "Kendall [95 %]"]
    return f"**{title}**\n\n" + _table(columns, [row for _, row in rows])


def _across(calibration: Calibration, versions: Versions, replicates: int) -> str:
    """Which cheap tasks predict the medium ones of all families, and the set that a search should use."""
    dear = [f for f in calibration.plan.families if (f, "medium") in versions and use_of(f) != "held-out"]
    names = [f for f in calibration.plan.families if (f, "micro") in versions and use_of(f) == "search"]
    if not dear or not names:
        return ""
    target = np.array([versions[f, "medium"].tuned() for f in dear])
    parts = []
    for size in SIZES[:2]:
        there = [f for f in names if (f, size) in versions]
        cheap = np.array([versions[f, size].tuned() for f in there])
        rows = [
            [p.task, f"{p.correlation:.2f} [{p.low:.2f}, {p.high:.2f}]"] for p in predictors(there, cheap, target, replicates=replicates)
        ]
        found = choose(there, cheap, target, most=MOST, replicates=max(50, replicates // 5))
        chosen = ", ".join(f"{name} ({share:.0%})" for name, share in zip(found.tasks, found.stability, strict=True))
        parts.append(
            f"**{size} search tasks against the consensus of medium {', '.join(dear)}** (Spearman, 95 % over rules)\n\n"
            + _table(["task", "correlation"], rows)
            + f"\n\nChosen: {chosen} (share of the replicates that chose it); correlation {found.correlation:.2f} on all rules, "
            f"{_with(found.left_out, found.left_out_interval)} on rules left out of the choice; all {len(there)} tasks together "
            f"{found.all_tasks:.2f} on the same rules."
        )
    return "\n\n".join(parts)


def _costs(calibration: Calibration, versions: Versions) -> str:
    """Seconds of a rule on each version, learning-rate search included."""
    rows = []
    for family in calibration.plan.families:
        cells = [family]
        for size in SIZES:
            found = calibration.rows(family, size) if (family, size) in versions else None
            per = [row["seconds"] / calibration.plan.trainings(size) for row in found or []]
            cells.append(f"{1e3 * float(np.median(per)):.1f}" if per else "–")
        rows.append(cells)
    return "**Milliseconds of one training (median over rules)**\n\n" + _table(["family", "micro", "small", "medium"], rows)


def _with(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
