"""The two ways a command ends badly; the command line turns each into one line on standard error."""


class UserError(ValueError):
    """Wrong use: one line that says what is wrong and what is allowed (exit code 2)."""


class JobError(RuntimeError):
    """A job that could not go on, such as a full disk: one line, what was committed before is intact (exit code 1)."""
