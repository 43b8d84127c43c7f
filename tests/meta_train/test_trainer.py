"""Meta-training as a whole: it learns, survives kills, spreads over devices, and complains in one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from jax.experimental.compilation_cache import compilation_cache

from discover.cli import main
from meta_train import run_folder, weights
from meta_train.checkpoint_files import FOLDER, committed, record_path
from meta_train.trainer import Report, Trainer
from tests.meta_train.run_child import CONFIG

CHILD = [sys.executable, "-m", "tests.meta_train.run_child"]


class Stop(Exception):
    """Ends a run at once, as a kill does: nothing is saved any more."""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Compiled programs are kept for all runs of this module, as the command line keeps them between processes."""
    settings = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.05,
        "jax_persistent_cache_enable_xla_caches": "none",
    }
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    run_folder.create(folder, CONFIG)
    Trainer(folder).train(checkpoint_every=5)
    return folder


def theta(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / run_folder.WEIGHTS / weights.ARRAYS) as file:
        return {name: file[name] for name in file.files}


def trace(folder: Path) -> list[dict[str, Any]]:
    """The curve without the clock."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run_folder.summary(folder)["curve"]]


def test_a_run_learns_and_tells_how(whole: Path) -> None:
    summary = run_folder.summary(whole)
    assert summary["status"] == "finished" and summary["outer_steps"] == CONFIG.outer_steps
    assert [row["outer_step"] for row in summary["curve"]] == [8, 16, 24]
    assert summary["inner_steps"] == 24 * 2 * CONFIG.particles * CONFIG.steps
    assert summary["curve"][-1]["meta_loss"] < summary["curve"][0]["meta_loss"] - 0.05
    assert summary["best_score"] == min(row["validation_score"] for row in summary["curve"])
    assert (whole / run_folder.CURVE).read_text().count("\n") == 4


@pytest.mark.parametrize("moment", [7, 16])
def test_a_run_that_is_cut_ends_as_if_it_had_not_been(whole: Path, tmp_path: Path, moment: int) -> None:
    def stop(report: Report) -> None:
        if report.step == moment:
            raise Stop

    run_folder.create(tmp_path, CONFIG)
    with pytest.raises(Stop):
        Trainer(tmp_path, reports=stop).train(checkpoint_every=5)
    Trainer(tmp_path).train(checkpoint_every=5)
    assert trace(tmp_path) == trace(whole)
    np.testing.assert_equal(theta(tmp_path), theta(whole))


def test_the_clock_only_cuts(whole: Path, tmp_path: Path) -> None:
    """A run without time left is scored where it stands; with more time it becomes the whole run, without that score."""
    run_folder.create(tmp_path, replace(CONFIG, budget_seconds=1e-9))
    Trainer(tmp_path).train()
    assert [row["outer_step"] for row in trace(tmp_path)] == [1]
    assert (tmp_path / run_folder.WEIGHTS / weights.CARD).exists()
    Trainer(tmp_path, budget=1e9).train(checkpoint_every=5)
    assert trace(tmp_path) == trace(whole)
    np.testing.assert_equal(theta(tmp_path), theta(whole))


def test_a_killed_process_goes_on_to_the_same_bits(whole: Path, tmp_path: Path) -> None:
    environment = os.environ | {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.05",
        "JAX_PERSISTENT_CACHE_ENABLE_XLA_CACHES": "none",
    }
    process = subprocess.Popen([*CHILD, str(tmp_path)], env=environment)
    while process.poll() is None and len(committed(tmp_path)) < 2:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run_folder.summary(tmp_path)["status"] == "live"
    Trainer(tmp_path).train()
    assert trace(tmp_path) == trace(whole)
    np.testing.assert_equal(theta(tmp_path), theta(whole))


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line of complaint about wrong use."""
    assert main([*arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len([line for line in lines if line.startswith("discover: ")]) == 1
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


def test_wrong_arguments_are_one_line(capsys: pytest.CaptureFixture[str], whole: Path, tmp_path: Path) -> None:
    out = ("--out", str(tmp_path / "run"))
    assert "unknown preset 'digit' (did you mean 'digits'?)" in fails(capsys, "meta-train", "digit")
    assert "does not divide" in fails(capsys, "meta-train", "tiny", "--devices", "3", *out)
    assert "held out" in fails(capsys, "meta-train", "tiny", "--task", "digits_vit", *out)
    assert "unknown learned optimizer" in fails(capsys, "meta-train", "tiny", "--optimizer", "adm", *out)
    assert "unknown estimator 'pess', allowed: backprop" in fails(capsys, "meta-train", "tiny", "--estimator", "pess", *out)
    assert "unknown evosax strategy 'CMA', allowed: " in fails(capsys, "meta-train", "tiny", "--estimator", "evosax:CMA", *out)
    assert "works on one device" in fails(capsys, "meta-train", "tiny", "--estimator", "evosax:CMA_ES", "--devices", "2", *out)
    assert "positive number" in fails(capsys, "meta-train", "tiny", "--budget-seconds", "-1", *out)
    assert "already holds a run" in fails(capsys, "meta-train", "tiny", "--out", str(whole))
    start = ("--start", str(whole / run_folder.WEIGHTS))
    assert "are of 'sgd', not of 'adam'" in fails(capsys, "meta-train", "tiny", *start, *out)
    assert "holds no trained weights" in fails(capsys, "meta-train", "tiny", "--start", str(tmp_path), *out)
    assert not (tmp_path / "run").exists()


def test_a_damaged_run_is_one_line_and_nothing_is_lost(capsys: pytest.CaptureFixture[str], whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    marker = json.loads((whole / run_folder.MARKER).read_text())
    (run / run_folder.MARKER).write_text(json.dumps(marker | {"format": 1}))
    assert "was made by another version: its format is 1, this one reads 2" in fails(capsys, "resume", str(run))
    (run / run_folder.MARKER).write_text("{")
    assert "is damaged" in fails(capsys, "resume", str(run))
    shutil.copy(whole / run_folder.MARKER, run)
    earlier, last = committed(run)
    record = json.loads(record_path(run, last).read_text())
    record_path(run, last).write_text(json.dumps(record | {"status": "live"}))
    for path in sorted((record_path(run, last).with_suffix("")).rglob("*")):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    complaint = fails(capsys, "resume", str(run))
    assert f"checkpoint {last}" in complaint and "is damaged" in complaint and f"go on from step {earlier}" in complaint
    record_path(run, last).unlink()  # what the complaint says
    assert main(["resume", str(run)]) == 0
    assert trace(run) == trace(whole)
    np.testing.assert_equal(theta(run), theta(whole))


def test_arrays_that_were_changed_are_noticed(whole: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(whole, run)
    for one, other in ((committed(run)[0], committed(run)[1]),):
        shutil.rmtree(run / FOLDER / f"{other:09d}")
        shutil.copytree(run / FOLDER / f"{one:09d}", run / FOLDER / f"{other:09d}")
    with pytest.raises(ValueError, match="not those that were written"):
        Trainer(run)


def test_a_task_without_a_finite_loss_is_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nan_tasks.py").write_text(
        "import jax.numpy as jnp\nfrom tasks.contracts import Task, TensorMeta\n"
        "def make():\n"
        "    loss = lambda params, batch, key: jnp.sum(params['w']) * jnp.nan\n"
        "    return Task('bad', lambda key: {'w': jnp.ones(2)}, lambda key, split: (), loss, {'w': TensorMeta('vector', 1, 2)})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    complaint = fails(capsys, "meta-train", "tiny", "--task", "nan_tasks:make", "--optimizer", "sgd", "--out", str(tmp_path / "run"))
    assert "'nan_tasks:make' has no finite loss" in complaint


def test_weights_go_to_a_file_and_back(tmp_path: Path) -> None:
    from meta_train.registry import load

    optimizer = load("small_fc")
    theta = optimizer.init(jax.random.key(0))
    weights.save(tmp_path, optimizer, theta, {"score": 1.0})
    again, read = weights.load(tmp_path)
    assert again == optimizer and weights.read_card(tmp_path)["score"] == 1.0
    jax.tree.map(np.testing.assert_array_equal, read, theta)
    with pytest.raises(ValueError, match="not of 'small_fc\\?hidden=8'"):
        weights.load(tmp_path, "small_fc?hidden=8")
    card = json.loads((tmp_path / weights.CARD).read_text())
    (tmp_path / weights.CARD).write_text(json.dumps(card | {"optimizer": "small_fc?hidden=8"}))
    with pytest.raises(ValueError, match="are not those of 'small_fc\\?hidden=8'"):
        weights.load(tmp_path)
    (tmp_path / weights.ARRAYS).write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="cannot read"):
        weights.load(tmp_path)
