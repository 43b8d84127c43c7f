"""Measured claims, one module each with `run(events) -> dict`; run them with nothing else going on."""
