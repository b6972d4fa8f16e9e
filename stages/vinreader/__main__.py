"""The command vin-reader: `vin-reader FOLDER` reads, `vin-reader check FOLDER` serves the page.

Without installing it is `python stages/vinreader`: Python runs the folder of a package, too.
"""

import os
import signal
import sys
from importlib import import_module
from pathlib import Path

COMMANDS = {  # by name: the module whose `main` it is, and what it does
    "read": (
        "vinreader.command",
        "read images of boxes and cards into tables (also without 'read')",
    ),
    "check": ("vinchecking.command", "serve the page on which clerks check cards"),
    "collect": ("vintraining.hands.collect", "take checked cards into a batch to learn from"),
    "audit": ("vintraining.hands.audit", "how many of the accepted cards are wrong"),
    "samples": ("vintraining.drawing.samples", "draw sample cards; compare readers on them"),
    "release": ("vintraining.releasing", "make the exported model the one clerks read with"),
}
HELP = "\n".join(
    (
        "usage: vin-reader COMMAND ...   (without installing: python stages/vinreader COMMAND)",
        "",
        *(f"  {name:8} {what}" for name, (_, what) in COMMANDS.items()),
        "",
        "vin-reader COMMAND --help tells its options; vin-reader --version what reads here.",
    )
)
EXIT_CANNOT_RUN, EXIT_INTERRUPTED = 2, 130


def main() -> int:
    """Exit status of what the process's arguments ask for."""
    arguments = sys.argv[1:]
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(HELP)
        return 0 if arguments else EXIT_CANNOT_RUN
    if arguments[0] in COMMANDS:
        return run(arguments[0], f"vin-reader {arguments[0]}", arguments[1:])
    return run("read", "vin-reader", arguments)


def run(name: str, program: str, arguments: list[str]) -> int:
    """Exit status of a command of `COMMANDS`. program: what it is called in messages."""

    def end_at_once(*_: object) -> None:
        os.write(2, f"{program}: interrupted; nothing was changed\n".encode())
        os._exit(EXIT_INTERRUPTED)

    # Nothing is written while modules are loaded: there is nothing to be put in order. A command
    # that works calls `console.interruptible`.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)
    sys.argv = [program, *arguments]
    try:
        return import_module(COMMANDS[name][0]).main() or 0
    except ModuleNotFoundError as error:
        print(f"{program}: {_missing(name, error.name or '')}", file=sys.stderr)
        return EXIT_CANNOT_RUN


def _missing(command: str, module: str) -> str:
    """What to do where a module is not there."""
    package = module.partition(".")[0]
    if package in ("vintraining", "vinchecking"):
        return f"this needs the project's folder; run there: python stages/vinreader {command} ..."
    extra = {"check": 'pip install ".[check]"', "read": "requirements-reader.txt"}.get(
        command, "requirements.txt"
    )
    return f"{package} is not installed; install what this command needs: {extra}"


if __name__ == "__main__":
    if not __package__:  # the folder itself was run, and is searched for modules
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    sys.exit(main())
