"""What a script does when it cannot go on: one clear message and an exit status, no traceback."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path

from vinreader.console import interruptible, lines
from vinreader.spec import UserError


def stage(main: Callable[[], None]) -> Callable[[], None]:
    """Ends a stage with a message where the user can mend it; a bug stays a traceback."""

    @wraps(main)
    def run() -> None:
        name = Path(sys.argv[0]).stem
        try:
            interruptible()
            main()
        except UserError as error:
            sys.exit(f"{name}: {lines(error)}")
        except OSError as error:
            sys.exit(f"{name}: {error.filename or 'input/output'}: {error.strerror or error}")
        except KeyboardInterrupt:
            sys.exit(f"{name}: interrupted; nothing is half written")

    return run
