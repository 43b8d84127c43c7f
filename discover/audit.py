"""How many good rules the lossy filters lose, estimated from rejects that were trained anyway.

A rule is *good* when it belongs to the would-be top decile: the best tenth of all distinct candidates that could have been scored, had no
filter been there. A filter's false-elimination rate is missed / (missed + found): the share of good rules that only it kept from being
scored. A near-duplicate whose copied score is good as well was not missed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import beta

from discover.pipeline import LOSSY
from discover.schema import TRAINED
from discover.subjects import Subject

TOP = 0.1
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class FilterAudit:
    """One filter: `rejected` distinct rules, `audited` of them trained, `missed` of those good; rate and one-sided upper bound.

    `found` good rules were scored. Estimates are scaled from the audited share to all rejects; bounds hold with 95 %.
    """

    filter: str
    rejected: int
    audited: int
    missed: int
    found: int
    rate: float
    upper: float


def audit_filters(subjects: Sequence[Subject], top: float = TOP) -> list[FilterAudit]:
    """A row for each lossy filter that rejected anything, and one for all together."""
    threshold = good_score(subjects, top)
    found = sum(1 for s in subjects if s.status == TRAINED and s.score is not None and s.score <= threshold)
    rows = [_audit(name, [s for s in subjects if s.reason == name], found, threshold) for name in LOSSY]
    total = _audit("all filters", [s for s in subjects if s.reason in LOSSY], found, threshold)
    return [row for row in (*rows, total) if row.rejected]


def good_score(subjects: Sequence[Subject], top: float = TOP) -> float:
    """The worst score of the would-be top share; audited rejects stand for all rejects of their filter."""
    weighted: list[tuple[float, float]] = [(s.score, 1.0) for s in subjects if s.status == TRAINED and s.score is not None]
    for name in LOSSY:
        rejects = [s for s in subjects if s.reason == name]
        scores = [s.audit_score for s in rejects if s.audit_score is not None]
        weighted += [(score, len(rejects) / len(scores)) for score in scores]
    weighted.sort()
    total, passed = sum(weight for _, weight in weighted), 0.0
    for score, weight in weighted:
        passed += weight
        if passed >= top * total:
            return score
    return math.inf


def _audit(name: str, rejects: Sequence[Subject], found: int, threshold: float) -> FilterAudit:
    audited = [s for s in rejects if s.audit_score is not None]
    missed = sum(1 for s in audited if _missed(s, threshold))
    scale = len(rejects) / len(audited) if audited else 0.0
    share = missed / len(audited) if audited else 0.0
    bound = upper_bound(missed, len(audited)) * len(rejects)
    if audited and scale == 1.0:  # every reject was trained: what is uncertain is the share among good rules of another such run
        rate_bound = upper_bound(missed, missed + found)
    else:
        rate_bound = bound / (bound + found) if bound + found > 0 else 1.0
    estimate = share * len(rejects)
    rate = estimate / (estimate + found) if estimate + found > 0 else 0.0
    return FilterAudit(name, len(rejects), len(audited), missed, found, rate, rate_bound)


def _missed(subject: Subject, threshold: float) -> bool:
    copied = subject.known_score()
    return subject.audit_score is not None and subject.audit_score <= threshold and (copied is None or copied > threshold)


def upper_bound(events: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """Clopper–Pearson one-sided upper bound on a probability; 1 where nothing was tried."""
    if events >= trials:
        return 1.0
    return float(beta.ppf(confidence, events + 1, trials - events))
