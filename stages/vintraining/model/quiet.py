"""TensorFlow without its notes on this machine's processors, which are no news to users."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
FATAL = "3"  # errors still come as Python's exceptions, with the text that the log would have


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Holds back standard error while TensorFlow is imported; an import that fails shows it.

    What TensorFlow writes there comes before it reads its log level, so only the file descriptor
    stops it. Whoever sets TF_CPP_MIN_LOG_LEVEL to another level sees everything.
    """
    if os.environ.setdefault(LEVEL, FATAL) != FATAL:
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        shown = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(shown, held.read())
            raise
        finally:
            os.dup2(shown, 2)
            os.close(shown)
