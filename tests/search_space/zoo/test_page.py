"""docs/zoo.md says what the rules say; its figures are the measured ones, within what another machine may change."""

from __future__ import annotations

from benchmarks.zoo import PAGE, page, recorded
from search_space import zoo
from tests.search_space.zoo.authors import REFERENCES


def test_the_page_is_what_the_rules_say() -> None:
    """After a change of a rule: `python -m benchmarks.zoo --only NAME`."""
    assert PAGE.read_text(encoding="utf-8") == page(recorded())


def test_every_rule_has_a_measured_error_below_its_bar() -> None:
    errors = recorded()
    assert set(errors) == set(zoo.names())
    assert [name for name, error in errors.items() if not float(error) <= REFERENCES[name].tolerance] == []
