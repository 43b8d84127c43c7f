"""The run store: whole generations or nothing, under locks, kills, full disks, read-only folders and damage."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discover.atomic import write_text_atomic
from discover.errors import JobError, UserError
from discover.schema import Candidate, Evaluation
from discover.store import RunStore
from discover.summary import lineage_diffs, pareto_front, summarize

NOBODY = 65534


def candidate(id: int, **changes: object) -> Candidate:
    """A trained candidate whose score is its id."""
    fields: dict[str, object] = {"text": f"def r{id}(w, g, lr):\n    return lr * g\n", "generation": 0, "score": float(id)}
    return Candidate(id, **{**fields, **changes})  # type: ignore[arg-type]


def write_run(folder: Path, generations: int = 3) -> None:
    """A run of a few generations, closed but not finished."""
    with RunStore.create(folder, "search", {"seed": 1}) as store:
        for n in range(generations):
            store.commit_generation(n, candidates=[candidate(n + 1)], attempts={"trained": 1, "twin": 2}, state={"random": [n, 0.1]})


def in_child(code: str, *arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run code in another process, the run folder as sys.argv[1]."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **options)  # type: ignore[call-overload]


def test_everything_written_is_read_back(tmp_path: Path) -> None:
    first = candidate(1, exact_key="aa", real_key="bb", state_bytes=4.0, cost=7.5, detail={"x": [1, None]})
    second = candidate(2, parent_id=1, origin="insert", generation=1, score=0.5)
    state = {"random": [3, [2**31, 7], None], "scores": [0.1, math.inf, 1e-300]}
    with RunStore.create(tmp_path / "run", "search", {"tasks": ["digits_mlp"], "seed": 3}) as store:
        assert store.last_generation() is None and store.best() == []
        store.commit_generation(
            0, candidates=[first], evaluations=[Evaluation(1, 0, 50, 0.25, {"lr": 0.1})], attempts={"trained": 1}, state=1
        )
        store.commit_generation(1, candidates=[second], attempts={"trained": 1, "twin": 4, "none": 0}, state=state)
    with RunStore.open(tmp_path / "run", readonly=True) as store:
        assert store.config() == {"tasks": ["digits_mlp"], "seed": 3}
        assert store.last_generation() == (1, state)
        assert store.candidates() == [first, second]
        assert store.candidates(generation=1) == store.candidates(status="trained")[1:] == [second]
        assert store.best(1) == [second]
        assert store.lineage(2) == [first, second]
        assert store.evaluations(1) == [Evaluation(1, 0, 50, 0.25, {"lr": 0.1})]
        assert store.attempt_counts() == {"twin": 4, "trained": 2}
        assert store.proposals() == 6
        info = store.info()
    assert (info.kind, info.status, info.result) == ("search", "running", None)
    assert info.versions["python"] and info.versions["jax"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda x: st.lists(x) | st.dictionaries(st.text(), x),
    )
)
def test_states_come_back_exactly(tmp_path_factory: pytest.TempPathFactory, state: object) -> None:
    with RunStore.create(tmp_path_factory.mktemp("run"), "search", {}) as store:
        try:
            store.commit_generation(0, state=state)
        except UnicodeEncodeError:  # half of a surrogate pair is not text
            return
        assert store.last_generation() == (0, state)


def test_best_ignores_the_unmeasured_and_the_audited_and_breaks_ties_by_cost(tmp_path: Path) -> None:
    rows = [
        candidate(1, score=None), candidate(2, score=0.1, status="audited"), candidate(3, score=0.2, state_bytes=8.0),
        candidate(4, score=0.2, state_bytes=4.0), candidate(5, score=math.nan), candidate(6, score=math.inf),
    ]  # fmt: skip
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        store.commit_generation(0, candidates=rows, state=None)
        assert [c.id for c in store.best()] == [4, 3, 6]


def test_a_candidate_can_be_scored_again(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        store.commit_generation(0, candidates=[candidate(1), candidate(2, parent_id=1)], state=None)
        store.commit_generation(1, candidates=[candidate(1, score=-1.0)], state=None)
        assert [(c.id, c.score) for c in store.best()] == [(1, -1.0), (2, 2.0)]


def test_a_generation_is_committed_whole_or_not_at_all(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        store.commit_generation(0, candidates=[candidate(1)], state="first")
        with pytest.raises(sqlite3.IntegrityError):  # its parent does not exist
            store.commit_generation(1, candidates=[candidate(2), candidate(3, parent_id=99)], attempts={"x": 1}, state="second")
        with pytest.raises(TypeError):
            store.commit_generation(1, candidates=[candidate(2)], state=object())
        with pytest.raises(ValueError, match="does not follow"):
            store.commit_generation(0, state="again")
        assert store.last_generation() == (0, "first")
        assert (len(store.candidates()), store.attempt_counts()) == (1, {})


def test_only_the_newest_state_is_kept(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        for n in range(30):
            store.commit_generation(n, state="x" * 100_000)
        store.finish("finished")
    assert (tmp_path / "run" / "run.db").stat().st_size < 1_000_000


def test_a_clean_end_leaves_a_single_file_that_opens_again(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        store.commit_generation(0, candidates=[candidate(1)], state=1)
        store.finish("finished", {"best": [1, 2.5]})
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"run.db", "run.lock"}
    with RunStore.open(tmp_path / "run") as store:
        assert store.info().result == {"best": [1, 2.5]} and store.info().status == "finished"
        store.commit_generation(1, state=2)
        assert store.last_generation() == (1, 2)


def test_a_folder_becomes_one_run_only(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    with pytest.raises(UserError, match="already holds a run"):
        RunStore.create(tmp_path / "run", "search", {})
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot make the run folder"):
        RunStore.create(tmp_path / "file" / "run", "search", {})
    with RunStore.open(tmp_path / "run", readonly=True) as store:
        assert store.proposals() == 9


def test_a_live_run_is_locked_for_writers_and_open_to_readers(tmp_path: Path) -> None:
    open_for_writing = "import sys; from discover.store import RunStore; RunStore.open(sys.argv[1])"
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        store.commit_generation(0, candidates=[candidate(1)], state=None)
        done = in_child(open_for_writing, tmp_path / "run")
        assert f"live (process {os.getpid()})" in done.stderr and done.returncode == 1
        with RunStore.open(tmp_path / "run", readonly=True) as reader:
            assert len(reader.candidates()) == 1
            store.commit_generation(1, candidates=[candidate(2)], state=None)
            assert len(reader.candidates()) == 2
    assert in_child(open_for_writing, tmp_path / "run").returncode == 0


KILLED = """
    import os, signal, sys
    from discover.schema import Candidate
    from discover.store import RunStore
    store = RunStore.create(sys.argv[1], "search", {"seed": 1})
    for n in range(20):
        store.commit_generation(n, candidates=[Candidate(n, "x", n, score=1.0)], attempts={"trained": 1}, state=n)
    store._connection.execute("BEGIN")
    store._connection.execute("INSERT INTO attempts VALUES (20, 'unfinished', 1)")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def killed_run(tmp_path: Path) -> Path:
    """A run whose process was killed in the middle of a transaction; its log still holds everything."""
    assert in_child(KILLED, tmp_path / "run").returncode == -signal.SIGKILL
    assert (tmp_path / "run" / "run.db-wal").stat().st_size > 0, "the precondition of these tests"
    return tmp_path / "run"


def check_killed_run(store: RunStore) -> None:
    assert store.last_generation() == (19, 19)
    assert store.attempt_counts() == {"trained": 20}


def test_a_killed_run_is_whole_and_unlocked(killed_run: Path) -> None:
    with RunStore.open(killed_run, readonly=True) as store:
        check_killed_run(store)
    with RunStore.open(killed_run) as store:
        check_killed_run(store)
        store.commit_generation(20, state=20)


READ_AS_NOBODY = """
    import os, sys
    from discover.errors import UserError
    from discover.store import RunStore
    if os.getuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    try:
        open(os.path.join(sys.argv[1], "probe"), "w")
        sys.exit("the folder can be written: this check proves nothing")
    except PermissionError:
        pass
    with RunStore.open(sys.argv[1], readonly=True) as store:
        print(store.last_generation(), store.attempt_counts())
    try:
        RunStore.open(sys.argv[1])
        sys.exit("it opened for writing")
    except UserError as error:
        print(error)
"""


def make_readonly(folder: Path) -> None:
    """Take away the right to write from everyone but root, and let everyone reach the folder."""
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o055)


@pytest.mark.parametrize("leftover", ["everything", "log without index", "nothing"])
def test_a_readonly_folder_can_be_read(killed_run: Path, leftover: str) -> None:
    if leftover == "nothing":
        with RunStore.open(killed_run) as store:
            store.finish("finished")
    if leftover == "log without index":
        (killed_run / "run.db-shm").unlink()
    make_readonly(killed_run)
    done = in_child(READ_AS_NOBODY, killed_run)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "(19, 19) {'trained': 20}"
    assert "Permission denied" in done.stdout and "can still read" in done.stdout


FULL_DISK = """
    import resource, sys
    from discover.errors import JobError
    from discover.schema import Candidate
    from discover.store import RunStore
    store = RunStore.open(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))
    try:
        for n in range(100):
            store.commit_generation(3 + n, candidates=[Candidate(100 + n, "x" * 20_000, n)], state="y" * 20_000)
    except JobError as error:
        print(n)
        print(error)
"""


def test_a_full_disk_is_one_clear_line_and_keeps_what_was_committed(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    done = in_child(FULL_DISK, tmp_path / "run")
    assert done.returncode == 0, done.stderr
    failed_at, message = done.stdout.splitlines()
    assert "cannot write" in message and "intact" in message
    with RunStore.open(tmp_path / "run") as store:
        index, _ = store.last_generation() or (None, None)
        assert index == 3 + int(failed_at) - 1 > 3, "the limit must strike after some commits"
        assert len(store.candidates()) == 3 + int(failed_at)


def test_a_full_disk_at_the_start_leaves_no_half_run(tmp_path: Path) -> None:
    code = """
        import resource, sys
        from discover.errors import JobError
        from discover.store import RunStore
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        try:
            RunStore.create(sys.argv[1], "search", {})
        except JobError as error:
            print(error)
    """
    assert "cannot write" in in_child(code, tmp_path / "run").stdout
    assert not (tmp_path / "run" / "run.db").exists()
    write_run(tmp_path / "run")


def test_what_is_not_a_run_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run folder"):
        RunStore.open(tmp_path / "missing")
    with pytest.raises(UserError, match="is not a run folder"):
        RunStore.open(tmp_path, readonly=True)


@pytest.mark.parametrize("readonly", [True, False])
@pytest.mark.parametrize("damage", ["text", "empty", "header only", "cut", "overwritten", "other tables", "newer"])
def test_a_damaged_file_is_one_clear_line(tmp_path: Path, damage: str, readonly: bool) -> None:
    write_run(tmp_path / "run")
    path = tmp_path / "run" / "run.db"
    with RunStore.open(tmp_path / "run") as store:
        store.finish("finished")
    data = path.read_bytes()
    if damage == "other tables":
        path.unlink()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE other (x)")
        connection.close()
    elif damage == "newer":
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
        connection.close()
    else:
        path.write_bytes(
            {
                "text": b"hello\n" * 100, "empty": b"", "header only": data[:16], "cut": data[: len(data) // 2],
                "overwritten": data[:100] + bytes(255 - b for b in data[100:]),
            }[damage]
        )  # fmt: skip
    with pytest.raises(UserError, match="format" if damage in ("newer", "other tables") else "damaged|read") as caught:
        with RunStore.open(tmp_path / "run", readonly=readonly) as store:
            summarize(store)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_summary_counts_the_funnel(tmp_path: Path) -> None:
    write_run(tmp_path / "run", generations=4)
    with RunStore.open(tmp_path / "run", readonly=True) as store:
        summary = summarize(store, 2)
    assert (summary.proposals, summary.trained, summary.rejected, summary.generation) == (12, 4, {"twin": 8}, 3)
    assert [c.id for c in summary.best] == [1, 2]


def test_lineage_is_told_as_changes(tmp_path: Path) -> None:
    with RunStore.create(tmp_path / "run", "search", {}) as store:
        child = candidate(2, parent_id=1, text="def r(w, g, lr):\n    return lr * sign(g)\n")
        store.commit_generation(0, candidates=[candidate(1, text="def r(w, g, lr):\n    return lr * g\n"), child], state=None)
        steps = lineage_diffs(store, 2)
    assert [c.id for c, _ in steps] == [1, 2]
    assert steps[1][1] == ["-    return lr * g", "+    return lr * sign(g)"]


axis = st.sampled_from([0.0, 1.0, 2.0, 3.0])


@given(st.lists(st.tuples(axis, axis, axis), max_size=12))
def test_the_front_is_what_nothing_beats(points: list[tuple[float, float, float]]) -> None:
    rows = [candidate(i, score=s, state_bytes=b, cost=c) for i, (s, b, c) in enumerate(points)]
    front = {c.id for c in pareto_front(rows)}

    def beaten(i: int) -> bool:
        return any(
            all(a <= b for a, b in zip(other, points[i], strict=True)) and (other != points[i] or j < i)
            for j, other in enumerate(points)
            if j != i
        )

    assert front == {i for i in range(len(points)) if not beaten(i)}


def test_atomic_write_replaces_or_leaves(tmp_path: Path) -> None:
    path = tmp_path / "front.csv"
    write_text_atomic(path, "old\n")
    write_text_atomic(path, "new\r\n")
    assert path.read_bytes() == b"new\r\n"
    code = """
        import resource, sys
        from discover.atomic import write_text_atomic
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        write_text_atomic(sys.argv[1], "x" * 1000)
    """
    assert f"{JobError.__name__}: cannot write" in in_child(code, path).stderr
    assert path.read_bytes() == b"new\r\n"
    assert [p.name for p in tmp_path.iterdir()] == ["front.csv"]
    shutil.rmtree(tmp_path)
    with pytest.raises(JobError, match="cannot write"):
        write_text_atomic(path, "x")


def test_config_is_stored_as_plain_json(tmp_path: Path) -> None:
    config = {"b": [1, 2], "a": {"nested": "ü"}}
    RunStore.create(tmp_path / "run", "search", config).close()
    connection = sqlite3.connect(tmp_path / "run" / "run.db")
    stored = connection.execute("SELECT config FROM run").fetchone()[0]
    connection.close()
    assert json.loads(stored) == config
