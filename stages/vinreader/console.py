"""What the commands say to people, in English or Ukrainian: `texts/console.<language>.json`."""

import json
import locale
import os
import signal
import sys
from functools import cache
from importlib import resources

LANGUAGES = ("en", "uk")
_chosen = "en"


def choose(language: str | None = None) -> None:
    """Sets the language of `text` in this process: by default the system's, English where that is
    neither. What the terminal's encoding lacks is shown as `\\xNN` from now on."""
    global _chosen
    _chosen = language or _system_language()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def text(key: str, **values: object) -> str:
    """A text of the chosen language with its values, in which names command no terminal; of a
    list of values each has a line."""
    return _texts(_chosen)[key].format(**{name: _shown(value) for name, value in values.items()})


def _shown(value: object) -> object:
    if isinstance(value, list):
        return "\n".join(f"  {one_line(item)}" for item in value)
    return value if isinstance(value, (int, float)) else one_line(value)


def one_line(name: object) -> str:
    """A name in which no character ends the line or commands the terminal: those as `\\x1b`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(name))


def lines(said: object) -> str:
    """A message, perhaps of several lines, in which no character commands the terminal."""
    return "\n".join(map(one_line, str(said).split("\n")))


def interruptible() -> None:
    """From now on Ctrl+C and SIGTERM raise KeyboardInterrupt, so that what is half done is undone;
    but not where the process was started deaf to Ctrl+C, as in the background of a shell."""
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def uninterruptible() -> None:
    """From now on Ctrl+C and SIGTERM do nothing: results take the place of older ones, and what is
    left to do takes a moment."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


@cache
def _texts(language: str) -> dict[str, str]:
    file = resources.files("vinreader") / "texts" / f"console.{language}.json"
    texts: dict[str, str] = json.loads(file.read_text("utf-8"))
    return texts


def _system_language() -> str:
    names = (os.environ.get(name) for name in ("LC_ALL", "LC_MESSAGES", "LANG"))
    # Windows has no such variables and calls the language "Ukrainian" in some versions.
    name = next(filter(None, names), None) or locale.getlocale()[0] or ""
    return "uk" if name.lower().startswith(("uk", "ukrainian")) else "en"
