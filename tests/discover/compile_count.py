"""Counts the compilations of a worker process, from jax's own monitoring events."""

from __future__ import annotations

from typing import Any

_counts = {"compilations": 0}


def start_worker(config: dict[str, Any]) -> None:
    """Listen, then prepare the process for scoring."""
    import jax

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            _counts["compilations"] += 1

    jax.monitoring.register_event_duration_secs_listener(listen)
    from discover.scoring import start_worker as prepare

    prepare(config)


def compilations(_: None) -> int:
    """Compilations so far in this process."""
    return _counts["compilations"]
