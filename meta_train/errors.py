"""Errors that a user of learned optimizers can cause; free of heavy imports so that they can be reported at once."""


class LearnedOptimizerError(ValueError):
    """A learned optimizer was asked for that does not exist or cannot be made; the message is one line for the user."""
