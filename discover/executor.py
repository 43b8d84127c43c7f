"""Running jobs: in this process, or in a pool of pinned worker processes that can be killed and replaced.

A job is a top-level function, given as "module:name" or as itself, and one payload. Whatever happens to a job is its
`Outcome`; results come back in the order of the payloads, so nothing depends on the number of workers.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait
from types import TracebackType
from typing import Any, Protocol, Self

from discover import compile_cache
from discover.cores import CoreLeases, pin_process, visible_cores
from discover.errors import JobError, UserError
from discover.outcomes import Batch, Limits, Outcome
from discover.pool import Worker
from discover.worker import WRONG_USE, describe, resolve

__all__ = ["Executor", "InProcessExecutor", "Limits", "Outcome", "ProcessExecutor"]
CHECK_SECONDS = 0.1
"""How often time and memory limits are looked at."""


class Executor(Protocol):
    """Runs jobs; `on_done(index, outcome)` is called as each job ends, in whatever order they end."""

    workers: int

    def map(
        self, function: str | Callable[[Any], Any], payloads: Sequence[Any], on_done: Callable[[int, Outcome], None] | None = None
    ) -> list[Outcome]:
        """The outcomes of `function` on each payload, in the payloads' order."""
        ...

    def close(self) -> None:
        """Stop all work and free what is held; may be called twice."""
        ...


def function_name(function: str | Callable[[Any], Any]) -> str:
    """ "module:name" of a function that another process can import; raises ValueError for any other."""
    if isinstance(function, str):
        return function
    name = f"{function.__module__}:{function.__qualname__}"
    if function.__module__ == "__main__" or "." in function.__qualname__:
        raise ValueError(f"{name} cannot run in a worker: it must be a top-level function of an importable module")
    return name


class _Closing:
    """Executors are context managers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError


class InProcessExecutor(_Closing):
    """Jobs one after the other in this process, for debugging: no limits. Pins the process for good unless `pin` is False."""

    workers = 1

    def __init__(self, initializer: str | Callable[[Any], Any] | None = None, config: Any = None, *, pin: bool = True) -> None:
        if pin:
            pin_process(visible_cores()[0])
        if initializer is not None:
            resolve(function_name(initializer))(config)

    def map(
        self, function: str | Callable[[Any], Any], payloads: Sequence[Any], on_done: Callable[[int, Outcome], None] | None = None
    ) -> list[Outcome]:
        """The outcomes in order; see `Executor`."""
        call = resolve(function_name(function))
        outcomes = []
        for index, payload in enumerate(payloads):
            start = time.perf_counter()
            try:
                outcome = Outcome("ok", call(payload), seconds=time.perf_counter() - start)
            except WRONG_USE:
                raise
            except Exception as error:  # as in a worker: an error is a result
                outcome = Outcome("error", message=describe(error), seconds=time.perf_counter() - start)
            outcomes.append(outcome)
            if on_done is not None:
                on_done(index, outcome)
        return outcomes

    def close(self) -> None:
        """Nothing is held."""


class ProcessExecutor(_Closing):
    """A pool of worker processes, each pinned to one core and initialised once by `initializer(config)`.

    Workers live until `close` or the parent's death; they start at the first `map`. `environment` is added to theirs.
    """

    def __init__(
        self,
        workers: int = 1,
        initializer: str | Callable[[Any], Any] | None = None,
        config: Any = None,
        limits: Limits = Limits(),
        environment: dict[str, str] | None = None,
    ) -> None:
        if workers < 1:
            raise ValueError(f"workers must be at least 1, not {workers}")
        self.workers = workers
        self.limits = limits
        self._initializer = None if initializer is None else function_name(initializer)
        self._config = config
        self._environment = {**compile_cache.environment(), **(environment or {})}
        self._leases = CoreLeases(workers)
        self._pool: dict[int, Worker] = {}

    def start(self) -> None:
        """Start the workers now; otherwise the first `map` does."""
        for slot in range(self.workers):
            if slot not in self._pool:
                self._pool[slot] = self._new_worker(slot)

    def _new_worker(self, slot: int) -> Worker:
        return Worker(slot, self._leases.cores[slot], self._initializer, self._config, self._environment)

    def map(
        self, function: str | Callable[[Any], Any], payloads: Sequence[Any], on_done: Callable[[int, Outcome], None] | None = None
    ) -> list[Outcome]:
        """The outcomes in order; see `Executor`. Raises JobError where workers cannot start, UserError where a job finds wrong use."""
        if not payloads:
            return []
        batch = Batch(function_name(function), payloads, on_done)
        try:
            self.start()
            while batch.open:
                self._dispatch(batch)
                for worker in self._wait():
                    self._receive(worker, batch)
                self._enforce(batch)
        except BaseException:  # Ctrl-C too: what the busy workers are doing belongs to nobody now
            self._drop_busy()
            raise
        return batch.outcomes()

    def _dispatch(self, batch: Batch) -> None:
        for slot, worker in list(self._pool.items()):
            while batch.queue and worker.idle:
                if worker.send(batch.queue[0], batch.function, batch.payloads[batch.queue[0]]):
                    batch.queue.popleft()
                else:  # it died while idle: no job is to blame
                    worker = self._replace(slot)

    def _wait(self) -> list[Worker]:
        busy = [worker for worker in self._pool.values() if not worker.idle]
        ready = wait([worker.connection for worker in busy], CHECK_SECONDS)
        return [worker for worker in busy if worker.connection in ready]

    def _receive(self, worker: Worker, batch: Batch) -> None:
        message = worker.receive()
        if message is not None and message[0] == "refused":
            raise UserError(message[1])
        if worker.starting:
            if message is None or message[0] != "ok":
                why = worker.epitaph() if message is None else message[1]
                raise JobError(f"a worker could not start: {why}")
            worker.starting = False
            return
        job = worker.job
        assert job is not None
        if message is None:
            epitaph = worker.epitaph()
            self._replace(worker.slot)
            batch.crashed(job, epitaph)
            return
        worker.job = None
        kind, value, seconds = message
        batch.end(job, Outcome("ok", value, seconds=seconds) if kind == "ok" else Outcome("error", message=value, seconds=seconds))

    def _enforce(self, batch: Batch) -> None:
        """Kill and replace the workers whose jobs are over a limit."""
        for worker in list(self._pool.values()):
            if worker.starting and worker.busy_seconds() > self.limits.start_seconds:
                raise JobError(f"a worker did not start within {self.limits.start_seconds:g} s")
            if worker.job is None or worker.connection.poll():  # an answer that is already here counts
                continue
            outcome = self._excess(worker)
            if outcome is not None:
                job = worker.job
                self._replace(worker.slot)
                batch.end(job, outcome)

    def _excess(self, worker: Worker) -> Outcome | None:
        seconds, limits = worker.busy_seconds(), self.limits
        if limits.seconds is not None and seconds > limits.seconds:
            return Outcome("timeout", message=f"ran longer than {limits.seconds:g} s", seconds=seconds)
        if limits.memory_mb is not None and worker.memory_mb() > limits.memory_mb:
            return Outcome("memory", message=f"used more than {limits.memory_mb:g} MiB", seconds=seconds)
        return None

    def _replace(self, slot: int) -> Worker:
        self._pool[slot].kill()
        self._pool[slot] = self._new_worker(slot)
        return self._pool[slot]

    def _drop_busy(self) -> None:
        for slot, worker in list(self._pool.items()):
            if not worker.idle:
                worker.kill()
                del self._pool[slot]

    def close(self) -> None:
        """Kill the workers and give the cores back; may be called twice."""
        for worker in self._pool.values():
            worker.kill()
        self._pool = {}
        self._leases.release()
