"""The rows of the files that a reading writes: predictions.csv and vins.csv.

A column is a field here; its cell is the attribute of that name of a `Reading` or `CardReading`.
"""

import os
from typing import NamedTuple

# What a person decides of a card (column `decision`).
CONFIRMED, CORRECTED, UNREADABLE, ORIGINAL = "confirmed", "corrected", "unreadable", "original"
ACCEPTED = (CONFIRMED, CORRECTED)
DRAWN = "drawn"  # column `audit` of an accepted card that a person is to check blind


class Row(NamedTuple):
    """A row of predictions.csv: a box, or a file that cannot be read."""

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
    values = {name: getattr(source, name) for name in row._fields if hasattr(source, name)}
    return {
        name: f"{value:.4f}" if isinstance(value, float) else value
        for name, value in values.items()
    }


def printable(path: str) -> str:
    """A path as text for a CSV cell that a spreadsheet does not take for a formula.

    `=x.png` becomes `./=x.png`, the same file; bytes that are no UTF-8 become `\\xNN`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"./{text}" if text[:1] in "=+-@\t\r\n" else text


def ascii_code(character: str) -> str:
    """Three decimal digits, `065` for A; empty for no character."""
    return f"{ord(character):03d}" if character else ""
