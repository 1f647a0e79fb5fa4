"""`python -m msbreg_tf.train`."""

import sys
from collections.abc import Callable

from msbreg_tf.commands.cli import Command
from msbreg_tf.run.config import PARTS, Config


def _run(*parts) -> None:
    config = Config(*parts)

    from msbreg_tf.run.pretraining import train

    train(config)


COMMAND = Command(PARTS, _run)


def leave_workers_at_exit(main: Callable[[], None]) -> None:
    """Runs `main`; where it ends with an exit code, other workers are left at once."""
    try:
        main()
    except SystemExit as end:
        if "msbreg_tf.distributed.workers" in sys.modules:  # not if the flags were wrong
            sys.modules["msbreg_tf.distributed.workers"].leave_at_once(end)
        raise
