"""Errors that a user of tasks can cause; free of heavy imports so that they can be reported at once."""


class TaskError(ValueError):
    """A task was asked for that does not exist or cannot be made; the message is one line for the user."""
