"""Search for update rules: evaluation, run store, worker processes, reports and the command line.

Importing this package imports neither jax nor numpy, so that the command line answers at once.
"""
