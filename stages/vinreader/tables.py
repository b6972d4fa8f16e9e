"""The tables that a reading writes, predictions.csv and vins.csv: their rows, and reading them.

A column is a field here; its cell is the attribute of that name of a `Reading` or `CardReading`.
"""

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from vinreader.spec import UserError

# What a person decides of a card (column `decision`).
CONFIRMED, CORRECTED, UNREADABLE, ORIGINAL = "confirmed", "corrected", "unreadable", "original"
ACCEPTED = (CONFIRMED, CORRECTED)
DRAWN = "drawn"  # column `audit` of an accepted card that a person is to check blind
# Files beside predictions.csv: of cards, for spreadsheets, for persons; a check station's store.
VINS, WORKBOOK, PAGE, STORE = "vins.csv", "vins.xlsx", "review.html", "checks.sqlite"
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a cell that a spreadsheet would run begins with
REMEDY = "take the table as it was written or downloaded"


class TableError(UserError):
    """A table cannot be used; the text says which, where and what to do."""


class Row(NamedTuple):
    """A row of predictions.csv: a box, or a file that cannot be read. ascii: `065` for A."""

    path: str
    character: str = ""
    ascii: str = ""
    confidence: str = ""
    runner_up: str = ""
    runner_up_confidence: str = ""
    status: str = ""
    message: str = ""


class VinRow(NamedTuple):
    """A row of vins.csv: a card.

    The last five are of what persons do (see `decisions.py`). read_as: the number as the reader
    read it, once a person has decided; decision: `confirmed`, `corrected`, `unreadable`, `original`
    or empty; clerk: who; decided_at: ISO 8601, UTC; audit: `drawn` or empty.
    """

    card: str
    vin: str = ""
    raw: str = ""
    confidence: str = ""
    check_digit: str = ""
    status: str = ""
    region: str = ""
    manufacturer: str = ""
    model_year: str = ""
    message: str = ""
    read_as: str = ""
    decision: str = ""
    clerk: str = ""
    decided_at: str = ""
    audit: str = ""


def cells(source: object, row: type[Row] | type[VinRow]) -> dict[str, str]:
    """The cells of a row that `source` has an attribute for; probabilities with four digits."""
    found = [(name, getattr(source, name)) for name in row._fields if hasattr(source, name)]
    return {name: f"{cell:.4f}" if isinstance(cell, float) else cell for name, cell in found}


def printable(path: str) -> str:
    """A path as text for a cell, which `guarded` leaves as it is.

    `=x.png` becomes `./=x.png`, the same file; bytes that are no UTF-8 become `\\xNN`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"./{text}" if text.startswith((*FORMULA, "\n", "'")) else text


def guarded(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula: `'-4` for `-4`. `read_table` takes it off."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def read_table(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file that has these columns, each with the line it ends in.

    Cells of all its columns by name, without the guard against formulas; empty where a row is
    short. UTF-8, with a byte order mark or without.

    Raises: OSError where it cannot be read, TableError where it is no such file.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        try:
            if missing := [name for name in columns if name not in (reader.fieldnames or [])]:
                raise TableError(
                    f"{path}: no column {' and '.join(missing)} in its first line, which has to be "
                    f"{','.join(columns)}, with commas between them; a spreadsheet may have saved "
                    f"it otherwise: {REMEDY}"
                )
            return [
                (reader.line_num, {name: _unguarded(cell) for name, cell in row.items() if name})
                for row in reader
            ]
        except UnicodeDecodeError:
            raise TableError(f"{path}: not UTF-8; {REMEDY}") from None
        except csv.Error as error:
            raise TableError(f"{path}, line {reader.line_num}: {error}; {REMEDY}") from None


def _unguarded(cell: str | None) -> str:
    if not cell:  # the row is short
        return ""
    return cell[1:] if cell[0] == "'" and cell[1:].startswith(FORMULA) else cell
