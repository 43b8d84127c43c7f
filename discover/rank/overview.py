"""The upper half of the page: the answer, what to use on which task, and all rules by all aggregations."""

from __future__ import annotations

import math

import numpy as np

from discover.rank.advice import advise, safest
from discover.rank.aggregate import AGGREGATIONS
from discover.rank.charts import profile_chart, rank_chart
from discover.rank.markup import Cell, counted, interval, name, number, rank, ranks, section, table, text
from discover.rank.profiles import area, cost_profile, steps_profile
from discover.rank.report import Report


def headline(report: Report) -> str:
    """Title, the answer in two sentences, and four tiles."""
    results, estimates = report.results, report.estimates
    winners = {name: int(np.nanargmin(e.rank)) for name, e in estimates.items() if not np.isnan(e.rank).all()}
    wins = np.bincount(list(winners.values()), minlength=len(results.rules))
    first = max(report.order, key=lambda r: (wins[r], -report.order.index(r)))
    safe, count = safest(results)
    answer = (
        f"Of {counted(len(results.rules), 'rule')} on {counted(len(results.tasks), 'task')}, all tuned with the same number of trials, "
        f"<b>{text(results.rules[first])}</b> is first by {wins[first]} of {len(winners)} ways to aggregate. "
        f"The safest choice is <b>{text(safe)}</b>: the best, or not told from it, on {count} of {counted(len(results.tasks), 'task')}."
    )
    tiles = [
        (results.rules[r], f"first by {AGGREGATIONS[n].title.lower()}: {number(float(estimates[n].score[r]))}")
        for n, r in winners.items()
        if n in ("mean", "steps", "nash")
    ]
    if report.baseline is not None and "mean" in estimates:
        place = results.rules.index(report.baseline)
        found = f"rank {rank(float(estimates['mean'].rank[place]))} by mean score, 95 %: {ranks(*estimates['mean'].rank_interval[place])}"
        tiles.append((f"Tuned {report.baseline}", found))
    boxes = "".join(f'<div class="tile"><b>{text(head)}</b><span>{text(line)}</span></div>' for head, line in tiles)
    return f'<p class="answer">{answer}</p><div class="tiles">{boxes}</div>'


def use(report: Report) -> str:
    """What to use on which task."""
    rows = []
    for advice in advise(report.results, report.baseline):
        shown = ", ".join(text(rule) for rule in advice.equals[:6]) + (
            f" and {len(advice.equals) - 6} more" if len(advice.equals) > 6 else ""
        )
        gain = f"{'+' if advice.gain > 0 else ''}{number(advice.gain)}" + ("" if advice.clear else " <small>within noise</small>")
        rows.append(
            [
                name(advice.task),
                Cell(f"<b>{text(advice.best)}</b>", advice.best, "word"),
                Cell(number(advice.score), -advice.score),
                Cell(gain if math.isfinite(advice.gain) else "–", -advice.gain),
                Cell(shown or '<span class="none">no other rule</span>', len(advice.equals), "words"),
            ]
        )
    baseline = f"tuned {report.baseline}" if report.baseline else "the baseline"
    columns = [
        ("Task", ""),
        ("Use", "highest mean score"),
        ("Score", "0 no progress, 1 tuned AdamW"),
        (f"Above {baseline}", "difference of mean scores"),
        ("As good", "not told from the best by a paired test over seeds, 97.5 % one-sided"),
    ]
    lead = (
        "The best rule of each task, and every rule that its seeds cannot tell from the best. Where many are listed, take the one you know."
    )
    return section("use", "What to use on which task", lead, table(columns, rows))


def ranking(report: Report) -> str:
    """Rules × aggregations with intervals."""
    rows = []
    for r in report.order:
        cells = [name(report.results.rules[r])]
        for estimate in report.estimates.values():
            place, interval_of = float(estimate.rank[r]), ranks(*estimate.rank_interval[r])
            chip = "" if math.isnan(place) else f'<i class="rank{" top" if place <= 3 else ""}">{rank(place)}</i>'
            title = f"rank {rank(place)}, 95 %: {interval_of}; first in {estimate.first[r]:.0%} of the replicates" if chip else "no cells"
            content = f"{number(float(estimate.score[r]))}{chip}<small>{interval(*estimate.score_interval[r])}</small>"
            cells.append(Cell(content, place, title=title))
        rows.append(cells)
    columns = [("Rule", "")] + [(AGGREGATIONS[n].title, AGGREGATIONS[n].meaning) for n in report.estimates]
    meanings = "".join(f"<dt>{AGGREGATIONS[n].title}</dt><dd>{text(AGGREGATIONS[n].meaning)}</dd>" for n in report.estimates)
    lead = (
        "Ways to aggregate disagree, so all are shown. Under each score its 95 % interval, beside it the rank. "
        "Click a heading to sort. The marked row is the baseline."
    )
    chart = rank_chart(report.results.rules, report.estimates, report.order, report.baseline)
    body = (
        table(columns, rows, highlight=report.marks(report.order))
        + f"<details><summary>What the columns mean</summary><dl>{meanings}</dl></details>"
        + '<h3>How far they agree</h3><p class="lead">A dot for the rank by each aggregation, the dark one by mean score, '
        f"over the 95 % interval of that rank. Rules are in the order of their mean rank.</p>{chart}"
    )
    return section("ranking", "All rules, all aggregations", lead, body)


def profiles(report: Report) -> str:
    """Performance profiles of steps and cost."""
    parts = []
    for title, found in (("steps", steps_profile(report.results)), ("evaluations", cost_profile(report.results))):
        order = np.argsort(-np.nan_to_num(area(found), nan=-1.0), kind="stable")
        parts.append(
            f"<div><h3>{title.capitalize()}</h3>{profile_chart(report.results.rules, found, order.tolist(), report.baseline, title)}</div>"
        )
    lead = (
        "On which share of the tasks does a rule reach tuned AdamW's loss within a factor of the fastest rule? "
        "High on the left: often the fastest. High on the right: reliable. "
        "In colour the rules with the largest area and the baseline (dashed); the median over seeds counts."
    )
    return section("profiles", "How fast, how reliably", lead, f'<div class="pair">{"".join(parts)}</div>')
