"""docs/tasks.md says what the families say; its figures are the measured ones."""

from benchmarks.families import PAGE, catalogue, recorded
from tasks.registry import installed


def test_the_page_is_up_to_date():
    """After a change of a family: `python -m benchmarks.families --page`, or without the option to measure again."""
    assert PAGE.read_text(encoding="utf-8") == f"{catalogue()}\n{recorded()}"


def test_every_family_that_can_be_measured_is():
    measured = recorded()
    assert all(f"| `{name}" in measured for name in installed())
