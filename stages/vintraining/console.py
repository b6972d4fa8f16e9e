"""What a stage says: how far it is, and in one message, without traceback, why it cannot go on."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from vinreader.console import interruptible, lines
from vinreader.spec import UserError

Step = TypeVar("Step")
EVERY = 5  # seconds between two lines of progress


def progress(steps: Iterable[Step], what: str, total: int) -> Iterator[Step]:
    """The steps, counted: on a bar where a person watches, else now and then in a line."""
    if sys.stderr.isatty():
        yield from tqdm(steps, what, total)
        return
    began = said = time.monotonic()
    for done, step in enumerate(steps, start=1):
        yield step
        now = time.monotonic()
        if now - said >= EVERY:
            left = (now - began) * (total - done) / done
            print(f"{what}: {done:,} of {total:,}, {left:.0f} s left", file=sys.stderr, flush=True)
            said = now


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
