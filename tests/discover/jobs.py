"""Jobs that the executor's tests run in workers; importable there because workers share our import path."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

from discover.errors import UserError

STATE: dict[str, object] = {}


def remember(config: dict[str, object]) -> None:
    """Initializer: keep the configuration and say that jax was not there when the process was pinned."""
    STATE.update(config, jax_first="jax" in sys.modules, cores=len(os.sched_getaffinity(0)), starts=STATE.get("starts", 0) + 1)  # type: ignore[operator]


def fail_to_start(config: object) -> None:
    """Initializer that raises."""
    raise RuntimeError("no such data")


def state(_: object) -> dict[str, object]:
    """What the initializer kept, and this worker's process."""
    return {**STATE, "pid": os.getpid(), "threads": os.environ["OMP_NUM_THREADS"]}


def square(x: int) -> int:
    """A quick job."""
    return x * x


def slow_square(x: int) -> int:
    """Later payloads finish first."""
    time.sleep(0.02 * (5 - x % 5))
    return x * x


def misbehave(what: str) -> str:
    """A job that ends in the way it is told."""
    if what == "raise":
        raise ValueError("two\nlines")
    if what == "refuse":
        raise UserError("there is no such data set")
    if what == "hang":
        while True:
            time.sleep(60)
    if what == "stuck":  # holds the interpreter's lock, as a runaway computation in C does
        ctypes.PyDLL(None).sleep(60)
    if what == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "segfault":
        ctypes.string_at(0)
    if what == "exit":
        os._exit(3)
    if what == "hog":
        hoard = [bytearray(2**20) for _ in range(600)]
        for block in hoard:
            block[::4096] = b"x" * len(block[::4096])
        time.sleep(60)
    if what == "unsendable":
        return lambda: None  # type: ignore[return-value]
    return what


def die_once(marker: str) -> str:
    """Killed from outside the first time, fine the second."""
    path = Path(marker)
    if not path.exists():
        path.write_text("died", encoding="utf-8")
        os.kill(os.getpid(), signal.SIGKILL)
    return "survived"


def say_pid_and_sleep(path: str) -> None:
    """Tell where this worker is, then work for a minute."""
    Path(path).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(60)


def train_bits(seed: int) -> str:
    """A short training of a network wide enough for several threads; the bits of the result as text."""
    import jax
    import jax.numpy as jnp

    def loss(w: tuple[jax.Array, jax.Array], x: jax.Array) -> jax.Array:
        return jnp.mean((jnp.tanh(x @ w[0]) @ w[1]) ** 2)

    @jax.jit
    def train(key: jax.Array) -> jax.Array:
        keys = jax.random.split(key, 3)
        w = (jax.random.normal(keys[0], (256, 256)), jax.random.normal(keys[1], (256, 7)))
        x = jax.random.normal(keys[2], (512, 256))
        step = jax.value_and_grad(loss)
        return jax.lax.scan(lambda w, _: (jax.tree.map(lambda a, b: a - 0.1 * b, w, step(w, x)[1]), step(w, x)[0]), w, length=20)[1]

    return train(jax.random.key(seed)).tobytes().hex()
