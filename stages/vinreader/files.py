"""Writing results so that a reader of them sees the old file or the whole new one, never a half."""

import csv
import hashlib
import io
import json
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from vinreader.console import text
from vinreader.spec import UserError
from vinreader.tables import guarded

if TYPE_CHECKING:
    import numpy as np

LEFT = 24 * 3600  # seconds after which a temporary file is one that a killed process has left


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` (same ending) that takes its place when the block succeeds.

    The bytes are on the disk before the name is: a power cut leaves the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_left(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        with naming(path):
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def naming(path: Path | str) -> Iterator[None]:
    """Gives an OSError that does not say where, as on a full disk, the name of the file."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _remove_left(path: Path) -> None:
    """Delete the temporary files of `path` that killed processes have left behind."""
    start, end = f".{path.stem}.", f".part{path.suffix}"
    for old in _temporary(path.parent):
        if old.name.startswith(start) and old.name.endswith(end):
            with suppress(OSError):  # another process may have been quicker
                if time.time() - old.stat().st_mtime > LEFT:
                    old.unlink()


@lru_cache(maxsize=100)
def _temporary(folder: Path) -> list[Path]:
    """The temporary files in a folder, looked for once: it may be large, and written to often."""
    return [file for file in folder.iterdir() if ".part" in file.name]


def put_aside(path: Path) -> Path:
    """Renames a file to the first free one of `<name>.earlier`, `<name>.earlier-2` ...; gives its
    new path."""
    free, number = path.with_stem(f"{path.stem}.earlier"), 1
    while free.exists():
        number += 1
        free = path.with_stem(f"{path.stem}.earlier-{number}")
    return path.rename(free)


def sha256(content: Path | bytes) -> str:
    """SHA-256 of bytes, or of a file's, in hexadecimal."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: Path, value: dict[str, Any]) -> None:
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_csv(path: Path, table: Any, **options: Any) -> None:
    """A pandas table as CSV, LF line ends on every system."""
    write_text(path, table.to_csv(index=False, lineterminator="\n", **options))


class Csv:
    """A CSV file that takes the place of an older one only when it is whole."""

    def __init__(self, path: Path, columns: tuple[str, ...], stack: ExitStack):
        path = path.resolve() if path.is_symlink() else path  # the link stays
        if path.exists() and not path.is_file():
            raise UserError(text("is_folder" if path.is_dir() else "no_file", path=path))
        file = stack.enter_context(
            stack.enter_context(replacing(path)).open("w", newline="", encoding="utf-8")
        )
        # csv quotes a line end within a cell only if it is in its own; the file's lines end in LF.
        lines = SimpleNamespace(write=lambda row: file.write(row.removesuffix("\r\n") + "\n"))
        self._writer = csv.writer(lines, lineterminator="\r\n")
        self._writer.writerow(columns)

    def write(self, rows: Iterable[Sequence[str]]) -> None:
        """Adds rows, whose cells no spreadsheet will take for formulas."""
        self._writer.writerows(map(guarded, row) for row in rows)


def save_array(path: Path, array: "np.ndarray") -> None:
    """Writes a .npy file, whole or not at all."""
    import numpy as np  # which most users of this module do without, to begin at once

    data = io.BytesIO()  # NumPy itself does not say why a file could not be written
    np.save(data, array)
    write_bytes(path, data.getbuffer())
