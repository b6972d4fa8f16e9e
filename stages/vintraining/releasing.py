"""The released reader's folder: three files that belong together, and those of the reader before.

models/released/ is exchanged as a whole, so a reader finds one model or the other, never files of
two. Where the system cannot exchange folders in one step, a process killed between two renamings
leaves none there; `recover` puts it back.
"""

import ctypes
import json
import os
import shutil
import sys
from pathlib import Path

from vinreader.number import prior as numbers
from vinreader.spec import UserError

EXPORTED = Path("models/vin-reader.tflite")
RELEASED = Path("models/released/vin-reader.tflite")
FILES = (numbers.FILE, RELEASED.name, RELEASED.with_suffix(".json").name)
PREVIOUS = "previous"
_NEXT = RELEASED.parent.with_name(".released.next")
_EXCHANGE, _HERE = 2, -100  # RENAME_EXCHANGE and AT_FDCWD of Linux' renameat2


def release() -> None:
    """Releases the exported model; the one released so far becomes the previous one.

    Raises: OSError where a file is missing or cannot be written; the old reader stays.
    """
    _exchange(EXPORTED.parent)


def rollback() -> None:
    """Brings the previous reader back; the one released so far becomes the previous one.

    Raises: UserError where there is none.
    """
    previous = RELEASED.parent / PREVIOUS
    if not all((previous / name).is_file() for name in FILES):
        raise UserError(f"{previous} holds no reader to go back to; nothing was changed")
    _exchange(previous)


def recover() -> None:
    """Ends what a killed release has left: the reader that was released is there again."""
    if not RELEASED.parent.exists() and (_NEXT / PREVIOUS / RELEASED.name).exists():
        shutil.copytree(_NEXT / PREVIOUS, RELEASED.parent)
    shutil.rmtree(_NEXT, ignore_errors=True)


def told() -> str:
    """What the released reader was made from, for people."""
    description = json.loads(RELEASED.with_suffix(".json").read_text("utf-8"))
    return f"trained on {description['source']}, fingerprint {description['fingerprint'][:12]}"


def _exchange(source: Path) -> None:
    """Puts a folder in the released one's place that holds the source's files, and what was
    released so far as the previous ones."""
    shutil.rmtree(_NEXT, ignore_errors=True)
    _copy(source, _NEXT)
    if RELEASED.exists():
        _copy(RELEASED.parent, _NEXT / PREVIOUS)
        _swap(RELEASED.parent, _NEXT)
    else:
        shutil.rmtree(RELEASED.parent, ignore_errors=True)
        _NEXT.rename(RELEASED.parent)
    shutil.rmtree(_NEXT, ignore_errors=True)


def _copy(source: Path, target: Path) -> None:
    """The three files, on the disk before the folder takes its place."""
    target.mkdir(parents=True)
    for name in FILES:
        with (source / name).open("rb") as file, (target / name).open("wb") as copy:
            shutil.copyfileobj(file, copy)
            os.fsync(copy.fileno())


def _swap(one: Path, other: Path) -> None:
    """Exchanges two folders, in one step where the system can."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if hasattr(libc, "renameat2"):
            names = os.fsencode(one), os.fsencode(other)
            if libc.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE) == 0:
                return
    shutil.rmtree(one)
    other.rename(one)
