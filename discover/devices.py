"""Devices of this process, decided before jax is imported."""

from __future__ import annotations

import os
import sys

from discover import compile_cache
from discover.cores import visible_cores
from discover.errors import UserError

COUNT = "--xla_force_host_platform_device_count"


def available() -> int:
    """How many devices this process can have: one for each core it may use, or what jax has where it is loaded."""
    if "jax" in sys.modules:
        import jax

        return len(jax.devices())
    return len(visible_cores())


def prepare(devices: int) -> None:
    """Give the CPU `devices` devices, each with a thread of its own, and keep compiled programs between processes.

    Raises UserError where jax is loaded already and has fewer.
    """
    if "jax" in sys.modules:
        import jax

        if len(jax.devices()) < devices:
            raise UserError(f"jax has {len(jax.devices())} devices, not {devices}: start a process of its own")
        return
    os.environ.update({name: value for name, value in compile_cache.environment().items() if name not in os.environ})
    flags = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(COUNT)]
    os.environ["XLA_FLAGS"] = " ".join([*flags, f"{COUNT}={devices}"])
