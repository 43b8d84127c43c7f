"""Every family has one use, and a search cannot see what is held out."""

import pytest

from tasks.errors import TaskError
from tasks.registry import names
from tasks.splits import USES, refuse_held_out, use_of


def test_every_family_has_exactly_one_use():
    listed = [name for families in USES.values() for name in families]
    assert sorted(listed) == sorted(names())


def test_held_out_families_are_refused():
    for use, families in USES.items():
        for name in families:
            assert use_of(name) == use
            if use == "held-out":
                with pytest.raises(TaskError, match="is held out"):
                    refuse_held_out(["digits_mlp", name])
            else:
                refuse_held_out([name])
    refuse_held_out(["my_tasks:make_task"])
