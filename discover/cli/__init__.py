"""The command line: `discover <verb>`. Nothing here imports jax; jobs do, after their input was checked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from discover.errors import JobError

OK, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 success, 1 the job failed, 2 wrong use, 130 after Ctrl-C.

    Wrong use is any ValueError of ours (`UserError`, `RuleError`, `TaskError`, `LearnedOptimizerError`): one line on standard error.
    """
    try:
        from discover.cli.parse import parse
        from meta_train.errors import LearnedOptimizerError
        from search_space.program import RuleError
        from tasks.errors import TaskError
    except KeyboardInterrupt:
        return INTERRUPTED
    from discover.errors import UserError

    try:
        return parse(sys.argv[1:] if arguments is None else arguments).execute()
    except (UserError, RuleError, TaskError, LearnedOptimizerError) as error:
        return _complain(error, WRONG_USE)
    except JobError as error:
        return _complain(error, FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", INTERRUPTED)
    except BrokenPipeError:  # whoever read our output has seen enough, as in `discover zoo | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK


def _complain(error: object, code: int) -> int:
    print(f"discover: {' '.join(str(error).split())}", file=sys.stderr)
    return code
