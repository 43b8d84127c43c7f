"""How many good rules the lossy filters lose, estimated from rejects that were trained anyway.

A proposal is *good* when its rule belongs to the would-be top decile of all valid proposals, had no filter been there. It is *missed*
when a filter kept it from getting a good score, and *found* otherwise (a near-duplicate whose copied score is good, or right, was not
missed). The rate of a filter is missed / (missed + found). The same rate over distinct rules is reported beside it: stricter, since most
good proposals are exact copies of good rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from scipy.stats import beta

from discover.pipeline import LOSSY
from discover.subjects import Subject

TOP = 0.1
CONFIDENCE = 0.95
RESOLUTION = 0.005
"""Scores that differ by less than this share are the same: seeds alone move them by several percent."""


@dataclass(frozen=True, slots=True)
class FilterAudit:
    """One filter: `rejected` distinct rules, `audited` of them trained; rates among proposals and among distinct rules.

    `missed` and `found` count proposals (scaled from the audited share to all); `upper` bounds hold with 95 %, one-sided.
    """

    filter: str
    rejected: int
    audited: int
    missed: float
    found: float
    rate: float
    upper: float
    distinct_rate: float
    distinct_upper: float


@dataclass(frozen=True, slots=True)
class _Known:
    """A rule whose true score is known; it stands for `weight` rules like it, proposed `copies` times each."""

    subject: Subject
    truth: float
    weight: float
    copies: int


def audit_filters(subjects: Sequence[Subject], proposed: Sequence[int] = (), top: float = TOP) -> list[FilterAudit]:
    """A row for each lossy filter that rejected anything, and one for all; `proposed[id]` says how often a rule was proposed."""
    known = _known(subjects, proposed)
    rows = []
    for name in (*LOSSY, "all filters"):
        rejects = [s for s in subjects if s.reason == name or (name == "all filters" and s.reason in LOSSY)]
        if rejects:
            rows.append(_audit(name, rejects, known, top))
    return rows


def _known(subjects: Sequence[Subject], proposed: Sequence[int]) -> list[_Known]:
    known = []
    for name in {s.reason for s in subjects}:
        group = [s for s in subjects if s.reason == name]
        truths = [(s, truth(s)) for s in group]
        seen = [(s, value) for s, value in truths if value is not None]
        scale = len(group) / len(seen) if seen else 0.0
        known += [_Known(s, value, scale, proposed[s.id] if proposed else 1) for s, value in seen]
    return sorted(known, key=lambda k: k.subject.id)


def truth(subject: Subject) -> float | None:
    """The score that full training gave or would give, infinity where training fails; None where nobody knows."""
    if subject.audit_score is not None:
        return subject.audit_score
    if subject.reason in LOSSY:
        return None
    score = subject.known_score()
    return math.inf if score is None else score


def _audit(name: str, rejects: Sequence[Subject], known: Sequence[_Known], top: float) -> FilterAudit:
    by_proposals = _rates(name, known, lambda k: k.weight * k.copies, top)
    by_rules = _rates(name, known, lambda k: k.weight, top)
    audited = sum(1 for s in rejects if s.audit_score is not None)
    missed, found, rate, upper = by_proposals
    return FilterAudit(name, len(rejects), audited, missed, found, rate, upper, by_rules[2], by_rules[3])


def _rates(name: str, known: Sequence[_Known], weigh: Callable[[_Known], float], top: float) -> tuple[float, float, float, float]:
    """(missed, found, rate, upper bound) of a filter, or of all of them, with weights on the rules."""
    threshold = good_score([(k.truth, weigh(k)) for k in known], top)
    good = [k for k in known if k.truth <= threshold]
    lost = [k for k in good if _missed(k, threshold)]
    missed = sum(weigh(k) for k in lost if name in (_blamed(k.subject, threshold), "all filters"))
    found = sum(weigh(k) for k in good) - sum(weigh(k) for k in lost)
    total = missed + found
    if total <= 0 or not any(k.subject.audit_score is not None for k in known):
        return missed, found, 0.0, 1.0
    # An audited rule stands for many, so the sample is as large as its weights are even. Copies count as trials here: bounds are
    # about proposals like these. What a filter does to rules, each counted once, is the other bound.
    trials = total**2 / sum(weigh(k) * k.weight for k in good)
    rate = missed / total
    return missed, found, rate, upper_bound(rate * trials, trials)


def good_score(weighted: Sequence[tuple[float, float]], top: float = TOP) -> float:
    """The worst score of the best `top` share of the weight."""
    total, passed = sum(weight for _, weight in weighted), 0.0
    for score, weight in sorted(weighted):
        passed += weight
        if passed >= top * total:
            return score
    return math.inf


def _missed(good: _Known, threshold: float) -> bool:
    """Whether a good rule has no score, or a copied one that is neither good nor right to the resolution of scores."""
    copied = good.subject.known_score()
    wrong = copied is None or copied > max(threshold, good.truth * (1.0 + RESOLUTION))
    return good.subject.reason in LOSSY and wrong


def _blamed(subject: Subject, threshold: float) -> str:
    """The filter that lost a good rule. A near-duplicate of a rule that is good itself was lost by the filter that took that one."""
    twin = subject.twin
    if twin is None:
        return subject.reason
    worth = truth(twin)
    return _blamed(twin, threshold) if worth is not None and worth <= threshold else subject.reason


def upper_bound(events: float, trials: float, confidence: float = CONFIDENCE) -> float:
    """Clopper–Pearson one-sided upper bound on a probability; 1 where nothing was tried."""
    if events >= trials:
        return 1.0
    return float(beta.ppf(confidence, events + 1, trials - events))
