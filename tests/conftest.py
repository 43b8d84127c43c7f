"""Test settings: JAX on the CPU, property tests that repeat exactly."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("JAX_PLATFORMS", "cpu")

from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")

signal.signal(signal.SIGINT, signal.default_int_handler)
"""A shell that puts the tests into the background makes them ignore Ctrl-C, and with them the commands that they start and interrupt."""
