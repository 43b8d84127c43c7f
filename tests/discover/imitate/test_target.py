"""Targets: what can be recorded, and the one line that says why something cannot."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from discover.errors import UserError
from discover.imitate.streams import Layout, Streams
from discover.imitate.target import StreamSet, record

MODULE = """
import optax
made = optax.scale(-2.0)
number = 3
def factory(k=1.0, name="x"):
    return optax.scale(-k)
def broken():
    raise ValueError("no\\nluck")
def wrong():
    return 3
"""


@pytest.fixture
def tiny() -> StreamSet:
    g = np.ones((1, 3, 2), np.float32)
    streams = Streams(("base",), Layout(((), (2,))), g, g)
    return StreamSet(streams, streams, streams)


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"user_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    # A copy without the folder: `record` adds it there. (`syspath_prepend` after `setattr` would leave the copy behind for later tests.)
    monkeypatch.setattr("sys.path", [entry for entry in sys.path if entry not in ("", str(tmp_path))])
    importlib.invalidate_caches()
    return name


@pytest.mark.parametrize(("spec", "size"), [("made", 2.0), ("factory", 1.0), ("factory?k=0.5", 0.5), ("factory?k=3,name='y'", 3.0)])
def test_modules_of_the_current_folder(module: str, tiny: StreamSet, spec: str, size: float) -> None:
    assert np.allclose(record(f"{module}:{spec}", tiny).probe.u, size)


@pytest.mark.parametrize("spec", ["number", "missing", "broken", "wrong", "factory?k", "factory?k=import", "factory?zz=1", "made?k=1"])
def test_bad_targets_get_one_line(module: str, tiny: StreamSet, spec: str) -> None:
    with pytest.raises(UserError) as caught:
        record(f"{module}:{spec}", tiny)
    assert "\n" not in str(caught.value) and spec.partition("?")[0] in str(caught.value)


@pytest.mark.parametrize("spec", ["no_such_rule", "no/such.rule", "nowhere:adam", "optax:no_such_factory"])
def test_unknown_targets(tiny: StreamSet, spec: str) -> None:
    with pytest.raises(UserError, match=spec.split(":")[-1].split("/")[-1]):
        record(spec, tiny)


def test_rules_by_file_and_name(tiny: StreamSet, tmp_path: Path) -> None:
    path = tmp_path / "double.rule"
    path.write_text("def double(w, g, lr):\n    return 2.0 * lr * g\n")
    assert np.allclose(record(str(path), tiny).probe.u, 2.0)
    assert np.allclose(record("sgd", tiny).probe.u, 1.0)


def test_rules_that_ask_for_more_are_refused(tiny: StreamSet, tmp_path: Path) -> None:
    path = tmp_path / "asks.rule"
    path.write_text("def asks(w, g, lr, f):\n    return lr * f * g\n")
    with pytest.raises(UserError, match="asks the training loop"):
        record(str(path), tiny)
