"""Hurdles: deterministic, rolling, and kind to starts."""

from __future__ import annotations

import json

import pytest

from discover.race import Curves, Race, Rung, quantile, rungs


def test_rungs_are_fixed_lengths() -> None:
    assert [r.steps for r in rungs(200, (1 / 16, 1 / 4, 1.0), (0.4, 0.5))] == [12, 50, 200]


@pytest.mark.parametrize(("share", "expected"), [(0.1, 1.0), (0.5, 5.0), (1.0, 10.0), (0.01, 1.0)])
def test_quantile(share: float, expected: float) -> None:
    assert quantile([float(x) for x in range(10, 0, -1)], share) == expected
    assert quantile([], share) == float("inf")


def test_the_best_share_goes_on_and_failures_never_do() -> None:
    race = Race((Rung(5, 0.5), Rung(20, 1.0)))
    assert race.pass_on(0, [4.0, 1.0, None, 3.0, 2.0]) == [False, True, False, False, True]
    assert race.pass_on(0, [2.5, 9.0, None], [False, True, True]) == [True, True, False]


def test_the_window_rolls() -> None:
    race = Race((Rung(5, 0.5), Rung(20, 1.0)), window=4)
    race.pass_on(0, [1.0, 1.0, 1.0, 1.0])
    assert race.pass_on(0, [2.0]) == [False]
    assert race.pass_on(0, [2.0, 2.0, 2.0, 2.0]) == [True] * 4


def test_level_profiles_are_found_nearest_first() -> None:
    curves = Curves(tolerance=1e-3)
    curves.add(3, [0.7, -0.2, 0.0, 1.0])
    curves.add(5, [0.7005, -0.2, 0.0, 1.0])
    curves.add(9, [0.7005, -0.2, 0.0, 1.0])
    assert curves.alike([0.7004, -0.2]) == 5
    assert curves.alike([0.7, -0.2]) == 3
    assert curves.alike([0.7, -0.21]) is None, "one rate at which they differ is enough"
    assert curves.alike([0.7, -0.2, 0.0, 1.01]) is None
    assert curves.alike([]) is None
    assert Curves(tolerance=0.0).alike([0.7, -0.2]) is None


def test_state_round_trip_equals_continuing() -> None:
    one, other = (Race((Rung(5, 0.3), Rung(20, 0.5), Rung(80, 1.0)), window=8) for _ in range(2))
    one.pass_on(0, [5.0, 3.0, 4.0])
    one.pass_on(1, [3.0])
    other.restore(json.loads(json.dumps(one.state())))
    assert one.pass_on(0, [3.5, 2.0, 6.0]) == other.pass_on(0, [3.5, 2.0, 6.0])
    assert one.state() == other.state()
