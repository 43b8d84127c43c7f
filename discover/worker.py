"""The child side of the process pool: pinned, tied to its parent's life, one job at a time.

Started as `python -c BOOT`, not through multiprocessing's spawn, so that the parent's main script (which may import
jax) is never imported here and the core is chosen before anything else is loaded.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from discover.errors import UserError
from search_space.program import RuleError
from tasks.errors import TaskError

BOOT = """import json, os, sys
a = json.loads(sys.argv[1])
os.sched_setaffinity(0, {a["core"]})
sys.path[:] = a["path"]
from discover.worker import main
main(a)"""
PR_SET_PDEATHSIG = 1
WATCH_SECONDS = 1.0
WRONG_USE = (UserError, RuleError, TaskError)


def resolve(name: str) -> Callable[..., Any]:
    """The function called "module:name"."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def main(arguments: dict[str, Any]) -> None:
    """Serve jobs (function, payload) from the pipe until it closes; answers are (kind, value, seconds), kind "ok", "error" or "refused"."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    _die_with(arguments["parent"])
    connection = Connection(arguments["descriptor"])
    if not _answer(connection, lambda: _initialize(arguments["initializer"], connection.recv())):
        return
    while True:
        try:
            function, payload = connection.recv()
        except (EOFError, OSError):
            return
        _answer(connection, lambda f=function, p=payload: resolve(f)(p))


def _initialize(initializer: str | None, config: Any) -> None:
    if initializer is not None:
        resolve(initializer)(config)


def _answer(connection: Connection, job: Callable[[], Any]) -> bool:
    """Send what the job returns, or one line on why it raised; False where it raised."""
    start = time.perf_counter()
    try:
        kind, value = "ok", job()
    except WRONG_USE as error:  # such as a user's task that cannot be made, which only a worker can find out
        kind, value = "refused", str(error)
    except Exception as error:  # a job's error is a result; only the parent decides what it means
        kind, value = "error", describe(error)
    seconds = time.perf_counter() - start
    try:
        connection.send((kind, value, seconds))
    except (BrokenPipeError, ConnectionResetError):
        os._exit(0)
    except Exception as error:
        kind = "error"
        connection.send((kind, f"the result cannot be sent: {describe(error)}", seconds))
    return kind == "ok"


def describe(error: BaseException) -> str:
    """An exception as one line with the place where it was raised."""
    text = " ".join("".join(traceback.format_exception_only(error)).split())
    frames = traceback.extract_tb(error.__traceback__)
    return f"{text} ({os.path.basename(frames[-1].filename)}:{frames[-1].lineno})" if frames else text


def _die_with(parent: int) -> None:
    """Make the kernel kill this process with its parent, and watch the parent's id where the kernel cannot."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the request above
        os._exit(0)
    _prefer_as_oom_victim()
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(WATCH_SECONDS)
    os._exit(0)


def _prefer_as_oom_victim() -> None:
    """When memory runs out a worker can be replaced, the parent cannot."""
    try:
        with open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("500")
    except OSError:
        return
