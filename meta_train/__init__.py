"""Learned optimizers and meta-gradients; imports `tasks` and `search_space`, never `discover`."""
