"""The page: well-formed, complete, safe with hostile names, the same for the same results; and its advice."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from discover.rank.advice import advise, as_good, safest
from discover.rank.markup import interval, number, rank
from discover.rank.page import render, write
from discover.rank.results import Results
from tests.discover.rank.made import results

HOSTILE = "<script>alert('1')</script>&\""
VOID = {"meta", "br"}


class Structure(HTMLParser):
    """Checks that tags nest, and collects what the tests ask for."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.words.append(data)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def awkward() -> Results:
    """A missing cell, a rule without cells, a failed rule, names that are markup, numbers that never come."""
    score = np.array([[[1.0, 1.1], [0.9, 1.0]], [[0.5, 0.7], [np.nan, np.nan]], [[0.0, 0.0], [0.0, 0.0]], [[np.nan] * 2] * 2])
    steps = np.where(np.isnan(score), np.nan, np.where(score > 0.8, 1.0, np.inf))
    loss = np.where(np.isnan(score), np.nan, np.where(score == 0, np.inf, 1.0 - score / 2))
    rules, tasks = ("adamw", HOSTILE, "failing", "absent"), (f"one {HOSTILE}", "two")
    notes = {
        "preset": HOSTILE, "steps": {"two": 100}, "trials": 30, "hardware": "2 cores", "seconds": 600.0, "other": [1, {"a": 2.5}],
        "tuned": {"two": {"adamw": f"rate 0.1 {HOSTILE}"}}, "schedule": {"two": {"adamw": "cosine"}}, "schedule_gain": {"adamw": 0.01},
        "metric": {"two": HOSTILE},
    }  # fmt: skip
    return Results(rules, tasks, score, steps, steps, loss, notes)


@pytest.fixture(scope="module")
def page() -> str:
    return render(awkward(), replicates=3)


def test_the_page_is_well_formed_and_complete(page: str) -> None:
    found = Structure(page)
    words = " ".join(found.words)
    for part in (
        "What to use on which task",
        "Every rule on every task",
        "How this was measured",
        "cosine",
        "10 minutes of work",
        "failed",
    ):
        assert part in words
    assert all(rule in words for rule in awkward().rules)
    assert found.count("table") == 3 + 2 + 1 and found.count("svg") == 3
    sections = {attributes.get("id") for tag, attributes in found.tags if tag == "section"}
    links = {(attributes.get("href") or "")[1:] for tag, attributes in found.tags if tag == "a"}
    assert links == sections and None not in sections


def test_names_are_text_and_nothing_is_loaded(page: str) -> None:
    found = Structure(page)
    assert found.count("script") == 1  # the page's own
    assert not re.search(r"https?:|url\(|@import|<link|<img|<iframe", page)
    assert not any(name in ("src", "srcset") or name.startswith("on") for _, attributes in found.tags for name in attributes)
    policy = next(a["content"] for tag, a in found.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "default-src 'none'" in policy


def test_rows_of_a_table_are_as_long_as_its_head(page: str) -> None:
    for table in re.findall(r"<table.*?</table>", page, re.DOTALL):
        head, *rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        assert rows and {len(re.findall(r"<t[hd][ >]", row)) for row in rows} == {len(re.findall(r"<th[ >]", head))}


def test_the_same_results_give_the_same_page(tmp_path: Path, page: str) -> None:
    write(awkward(), tmp_path / "a.html", replicates=3)
    assert (tmp_path / "a.html").read_text() == page
    assert render(awkward(), replicates=3, seed=1) != page


def test_smallest_results() -> None:
    Structure(render(results([[1.0]]), replicates=2))
    Structure(render(results([[np.nan, np.nan], [0.0, 0.0]]), replicates=2))


def test_advice_tells_noise_from_difference() -> None:
    clear = [[1.0, 1.1, 0.9, 1.0], [0.5, 0.6, 0.4, 0.5], [1.02, 1.05, 0.85, 1.04]]
    of = results(np.array([[row] for row in clear]))
    (advice,) = advise(of, "rule1")
    assert (advice.best, advice.equals, advice.clear) == ("rule0", ("rule2",), True)
    assert advice.gain == pytest.approx(0.5)
    assert advise(of, None)[0].clear is False
    assert safest(of) == ("rule0", 1)


def test_a_small_steady_difference_is_seen_through_paired_seeds() -> None:
    draws = np.array([0.2, 0.9, 0.5, 0.7])
    of = results(np.array([[draws + 0.02], [draws + [0.0, 0.001, -0.001, 0.0]]]))
    np.testing.assert_array_equal(as_good(of), [[True], [False]])


def test_with_one_seed_only_ties_are_as_good() -> None:
    np.testing.assert_array_equal(as_good(results([[1.0], [1.0], [0.9], [np.nan]]))[:, 0], [True, True, False, False])


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0.12345, "0.123"), (12.34, "12.3"), (0.0, "0.00"), (-1.5, "−1.50"), (2e-5, "2.00e−05"), (3, "3"), (1200, "1,200"),
     (1234567.0, "1.23e+06"), (float("inf"), "∞"), (float("nan"), "–"), (None, "–")],
)  # fmt: skip
def test_numbers_for_people(value: float | None, expected: str) -> None:
    assert number(value) == expected


def test_ranks_and_intervals_for_people() -> None:
    assert (rank(3.0), rank(2.5), rank(float("nan"))) == ("3", "2.5", "–")
    assert interval(0.5, float("nan")) == "" and interval(0.5, 1.0) == "0.500 … 1.00"
