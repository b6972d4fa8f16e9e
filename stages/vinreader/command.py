"""The command `read`: images of VIN boxes and whole cards into CSV files.

Only what tells how it ends stands here, so that a wrong option or Ctrl+C is answered at once; what
reads is in `reading.py`.
"""

import sys
from pathlib import Path

from vinreader.console import interruptible, lines, text
from vinreader.options import EXIT_CANNOT_RUN, EXIT_INTERRUPTED, parse
from vinreader.spec import UserError


def main(argv: list[str] | None = None) -> int:
    """The command; gives its exit status. `argv`: its arguments, by default the process's."""
    program = Path(sys.argv[0]).name
    options = parse(argv)
    ray = options.engine == "ray"
    kept = text("goes_on", shards=options.shards) if ray else text("nothing_changed")
    from vinreader.reading import run

    try:
        interruptible()
        status = run(options)
        sys.stdout.flush()
        return status
    except UserError as error:
        said, status = str(error), EXIT_CANNOT_RUN
    except BrokenPipeError:  # of `| head -1`; the files may be there by now
        said, status = text("pipe"), EXIT_CANNOT_RUN
    except OSError as error:
        where = error.filename or "input/output"
        said = text("failed", where=where, why=error.strerror or error, kept=kept)
        status = EXIT_CANNOT_RUN
    except KeyboardInterrupt:
        said, status = text("interrupted", kept=kept), EXIT_INTERRUPTED
    print(f"{program}: {lines(said)}", file=sys.stderr)
    return status
