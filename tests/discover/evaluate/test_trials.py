"""Tuning: the same number of trials for everyone, and a choice that a formula confirms."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discover.evaluate.protocol import Protocol
from discover.evaluate.trials import Answer, Request, cells, finer, grid
from search_space.program import Hyper
from tests.discover.evaluate.fake import measure

NONE: tuple[Hyper, ...] = ()
THREE = (Hyper("b", "unit", 0.9), Hyper("c", "scale", 0.0), Hyper("d", "number", 2.0))
SMALL = Protocol(coarse=7, variants=3, around=4, refine=5, tune_seeds=2, seeds=3)


class Recorder:
    """Notes what is asked and answers with a loss for each rate and draw."""

    def __init__(self, loss=lambda request, rate: abs(math.log(rate))):
        self.loss, self.asked = loss, []

    def __call__(self, requests):
        self.asked += requests
        losses = [tuple(self.loss(r, rate) for rate in r.rates) for r in requests]
        return [Answer(row, row, (1.0,) * len(row), tuple((x,) for x in row)) for row in losses]

    def tuning(self, scheduled):
        return [r for r in self.asked if r.scheduled == scheduled and not r.final]


@pytest.mark.parametrize("hypers", [NONE, THREE[:1], THREE])
@pytest.mark.parametrize("protocol", [Protocol(), SMALL])
def test_every_rule_has_the_same_trials(hypers, protocol):
    recorder = Recorder()
    found = cells(protocol, hypers, 0, recorder)
    for scheduled in (False, True):
        assert sum(len(r.rates) for r in recorder.tuning(scheduled)) == protocol.trainings - protocol.seeds
        assert len({(r.hypers, rate) for r in recorder.tuning(scheduled) for rate in r.rates}) == protocol.trials
    assert [cell.tuned.trials for cell in found] == [protocol.trials] * 2
    assert sum(len(r.rates) for r in recorder.asked) == 2 * protocol.trainings


@pytest.mark.parametrize("protocol", [Protocol(), SMALL])
def test_no_trial_is_wasted_on_a_rule_without_hyperparameters(protocol):
    recorder = Recorder()
    cells(protocol, NONE, 0, recorder)
    tried = [(rate, instance) for r in recorder.tuning(True) for rate, instance in zip(r.rates, r.instances, strict=True)]
    assert len({(round(math.log(rate), 9), instance) for rate, instance in tried}) == len(tried)


def test_tuning_and_final_draws_are_disjoint():
    recorder = Recorder()
    cells(SMALL, THREE, 0, recorder)
    tuning = {i for r in recorder.asked if not r.final for i in r.instances}
    final = {i for r in recorder.asked if r.final for i in r.instances}
    assert tuning == {0, 1} and final == {2, 3, 4}


def test_at_most_two_hyperparameters_move_and_the_first_trials_have_the_defaults():
    recorder = Recorder()
    cells(Protocol(), THREE, 0, recorder)
    assert dict(recorder.asked[0].hypers) == {"b": 0.9, "c": 0.0, "d": 2.0}
    values = {name: {dict(r.hypers)[name] for r in recorder.asked} for name in "bcd"}
    assert len(values["b"]) == len(values["c"]) == 3 and values["d"] == {2.0}
    assert all(0 < b < 1 for b in values["b"]) and all(c >= 0 for c in values["c"])


@settings(max_examples=50)
@given(st.floats(-4.5, 1.0))
def test_the_best_rate_is_found(place):
    best = 10.0**place
    for cell in cells(Protocol(), NONE, 0, lambda asked: [measure(r, best) for r in asked]):
        assert abs(math.log(cell.tuned.rate / best)) < math.log(Protocol().step) / 8
        assert not cell.edge


def test_the_better_variant_is_kept():
    def loss(request: Request, rate: float) -> float:
        return abs(math.log(rate / 0.1)) + (0.0 if dict(request.hypers)["b"] == 0.9 else -1.0)

    for cell in cells(Protocol(), THREE, 0, Recorder(loss)):
        assert dict(cell.tuned.hypers)["b"] != 0.9 and cell.tuned.loss < 0


def test_a_rate_at_the_end_of_the_grid_is_marked():
    assert all(cell.edge for cell in cells(Protocol(), NONE, 0, Recorder(lambda _, rate: -rate)))
    assert all(cell.edge for cell in cells(Protocol(), NONE, 0, Recorder(lambda _, rate: rate)))


def test_what_diverges_somewhere_is_not_chosen_and_what_diverges_everywhere_is_measured_all_the_same():
    half = cells(Protocol(), NONE, 0, Recorder(lambda _, rate: math.inf if rate > 0.01 else -rate))
    assert all(cell.tuned.rate <= 0.01 for cell in half)
    for cell in cells(SMALL, THREE, 0, Recorder(lambda *_: math.inf)):
        assert cell.tuned.loss == math.inf and cell.test == (math.inf,) * 3 and cell.tuned.trials == SMALL.trials


def test_one_failed_draw_counts_against_a_rate():
    """Draw 0 trains best just below 0.01, draw 1 fails above 0.009: the rates that refine the choice know it."""

    def answer(requests):
        limits = (0.01, 0.009)
        losses = [tuple(math.inf if r > limits[i % 2] else 1.0 / r for r, i in zip(q.rates, q.instances, strict=True)) for q in requests]
        return [Answer(row, row, (1.0,) * len(row), tuple((x,) for x in row)) for row in losses]

    assert all(0.005 < cell.tuned.rate <= 0.009 for cell in cells(replace(SMALL, coarse=30), NONE, 0, answer))


def test_grids_are_the_ones_described():
    rates = grid(Protocol())
    assert rates[0] == pytest.approx(1e-5) and rates[-1] == pytest.approx(10**1.5)
    for count in (5, 6):
        close = finer(Protocol(refine=count), 1.0)
        assert len(set(close)) == count and 1.0 not in close
        assert max(abs(math.log(rate)) for rate in close) < 0.4 * math.log(Protocol().step) < math.log(close[-1] / close[0])
