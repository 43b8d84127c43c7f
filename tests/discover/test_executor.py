"""The process pool: order, isolation, limits, life and death, and bits that do not depend on the number of workers."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from discover.errors import JobError, UserError
from discover.executor import InProcessExecutor, Limits, ProcessExecutor
from tests.discover import jobs


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessExecutor]:
    with ProcessExecutor(2, jobs.remember, {"colour": "blue"}, Limits(seconds=5.0, memory_mb=200)) as executor:
        yield executor


def alive(pid: int) -> bool:
    """Whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until_gone(pid: int, seconds: float) -> float:
    """Seconds until the process is gone; fails after `seconds`."""
    start = time.monotonic()
    while alive(pid):
        assert time.monotonic() - start < seconds, f"process {pid} still lives after {seconds} s"
        time.sleep(0.05)
    return time.monotonic() - start


def test_results_come_in_the_order_of_the_payloads(pool: ProcessExecutor) -> None:
    done: list[int] = []
    outcomes = pool.map(jobs.slow_square, range(10), on_done=lambda index, _: done.append(index))
    assert [o.value for o in outcomes] == [x * x for x in range(10)]
    assert sorted(done) == list(range(10)) and done != sorted(done)


def test_workers_are_pinned_and_initialised_once_before_jax(pool: ProcessExecutor) -> None:
    states = [o.value for o in pool.map("tests.discover.jobs:state", range(6))]
    assert {s["colour"] for s in states} == {"blue"}
    assert {(s["cores"], s["jax_first"], s["threads"], s["starts"]) for s in states} == {(1, False, "1", 1)}
    assert 1 <= len({s["pid"] for s in states}) <= 2


@pytest.mark.parametrize(
    ("what", "reason", "message"),
    [
        ("raise", "error", "ValueError: two lines"),
        ("unsendable", "error", "cannot be sent"),
        ("hang", "timeout", "longer than 5 s"),
        ("stuck", "timeout", "longer than 5 s"),
        ("hog", "memory", "more than 200 MiB"),
        ("die", "crash", "signal 9"),
        ("segfault", "crash", "signal 11"),
        ("exit", "crash", "code 3"),
    ],
)
def test_a_bad_job_is_reported_and_takes_no_other_along(pool: ProcessExecutor, what: str, reason: str, message: str) -> None:
    outcomes = pool.map(jobs.misbehave, ["a", what, "b", "c"])
    assert [o.value for o in outcomes] == ["a", None, "b", "c"]
    assert outcomes[1].reason == reason
    assert message in outcomes[1].message and "\n" not in outcomes[1].message


def test_a_worker_killed_from_outside_does_not_change_the_result(pool: ProcessExecutor, tmp_path: Path) -> None:
    assert [o.value for o in pool.map(jobs.die_once, [str(tmp_path / "marker")])] == ["survived"]
    assert (tmp_path / "marker").exists()


def test_an_idle_worker_that_died_is_replaced(pool: ProcessExecutor) -> None:
    for pid in {o.value["pid"] for o in pool.map(jobs.state, range(6))}:
        os.kill(pid, signal.SIGKILL)
        wait_until_gone(pid, 5)
    assert [o.value for o in pool.map(jobs.square, [1, 2, 3])] == [1, 4, 9]


def test_an_initializer_that_fails_is_one_clear_error() -> None:
    with ProcessExecutor(2, jobs.fail_to_start) as executor, pytest.raises(JobError, match="could not start.*no such data"):
        executor.map(jobs.square, [1])


def test_a_start_that_hangs_is_an_error() -> None:
    with ProcessExecutor(1, "time:sleep", 60, Limits(start_seconds=0.5)) as executor, pytest.raises(JobError, match="did not start"):
        executor.map(jobs.square, [1])


def test_an_error_in_the_parent_leaves_a_pool_that_works(pool: ProcessExecutor) -> None:
    def stop(index: int, outcome: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.map(jobs.slow_square, range(10), on_done=stop)
    assert [o.value for o in pool.map(jobs.square, [3, 4])] == [9, 16]


def test_wrong_use_found_by_a_job_is_the_users_error(pool: ProcessExecutor) -> None:
    with pytest.raises(UserError, match="^there is no such data set$"):
        pool.map(jobs.misbehave, ["a", "refuse", "b"])
    assert [o.value for o in pool.map(jobs.square, [3, 4])] == [9, 16]


def test_functions_that_a_worker_cannot_import_are_refused(pool: ProcessExecutor) -> None:
    with pytest.raises(ValueError, match="top-level function"):
        pool.map(lambda x: x, [1])


def test_close_ends_the_workers() -> None:
    executor = ProcessExecutor(1)
    pid = executor.map(os.getpgid, [0])[0].value
    executor.close()
    executor.close()
    assert not alive(pid)


PARENT = """
    import sys
    from discover.executor import ProcessExecutor
    with ProcessExecutor(2) as executor:
        try:
            executor.map("tests.discover.jobs:say_pid_and_sleep", sys.argv[1:])
        except KeyboardInterrupt:
            print("interrupted", flush=True)
            sys.exit(130)
"""


def start_parent(tmp_path: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """A process that runs two long jobs, and the ids of its workers."""
    files = [tmp_path / "a", tmp_path / "b"]
    command = [sys.executable, "-c", textwrap.dedent(PARENT), *map(str, files)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    deadline = time.monotonic() + 30
    while not all(f.exists() and f.read_text() for f in files):
        assert time.monotonic() < deadline and parent.poll() is None
        time.sleep(0.05)
    return parent, [int(f.read_text()) for f in files]


def test_no_worker_outlives_a_parent_that_was_killed(tmp_path: Path) -> None:
    parent, workers = start_parent(tmp_path)
    parent.kill()
    parent.communicate()
    assert all(wait_until_gone(pid, 5) < 5 for pid in workers)


def test_ctrl_c_is_the_parents_and_ends_the_workers_silently(tmp_path: Path) -> None:
    parent, workers = start_parent(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=10)
    assert (parent.returncode, out, err) == (130, "interrupted\n", "")
    assert not any(alive(pid) for pid in workers)


UNCACHED = {"JAX_ENABLE_COMPILATION_CACHE": "false"}


def test_bits_do_not_depend_on_the_number_of_workers() -> None:
    seeds = [0, 1, 2, 3]
    results = []
    for workers in (1, 2, 4):
        with ProcessExecutor(workers, environment=UNCACHED) as executor:
            results.append([o.value for o in executor.map(jobs.train_bits, seeds)])
    assert None not in results[0]
    assert results[0] == results[1] == results[2]
    command = (
        "from discover.executor import *; print(*[o.value for o in InProcessExecutor().map('tests.discover.jobs:train_bits', [0, 1])])"
    )
    alone = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert alone.stdout.split() == results[0][:2]


def test_in_process_reports_errors_the_same_way() -> None:
    with InProcessExecutor(jobs.remember, {"colour": "red"}, pin=False) as executor:
        outcomes = executor.map(jobs.misbehave, ["a", "raise"])
    assert (outcomes[0].value, outcomes[1].reason) == ("a", "error")
    assert "ValueError: two lines" in outcomes[1].message


def test_in_process_refuses_to_score_with_several_cores() -> None:
    command = "import sys, jax; from discover.executor import InProcessExecutor as E; E()"
    assert len(os.sched_getaffinity(0)) > 1, "this check needs two cores"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert UserError.__name__ in done.stderr and "before jax is imported" in done.stderr


def test_a_cached_compilation_gives_the_same_bits_and_survives_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bits(**environment: str) -> str:
        with ProcessExecutor(1, environment=environment) as executor:
            return executor.map(jobs.train_bits, [0])[0].value

    monkeypatch.setenv("DISCOVER_CACHE", str(tmp_path / "cache"))
    everything = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    fresh = bits(**UNCACHED)
    first = bits(**everything)
    entries = list((tmp_path / "cache").glob("jit_train-*-cache"))
    assert len(entries) == 1, "the training must have been cached"
    whole = entries[0].read_bytes()
    second = bits(**everything)
    assert entries[0].read_bytes() == whole
    entries[0].write_bytes(whole[: len(whole) // 2])  # as a kill in the middle of writing leaves it
    third = bits(**everything)
    assert zlib.decompress(entries[0].read_bytes()), "the damaged entry must have been replaced"
    assert fresh == first == second == third
