"""Architectures of learned optimizers, one file each."""
