"""The columns of the files that a reading writes: predictions.csv and vins.csv."""

import os
from typing import NamedTuple


class Row(NamedTuple):
    """A row of predictions.csv."""

    path: str
    character: str
    ascii: str
    confidence: str
    runner_up: str
    runner_up_confidence: str
    status: str
    message: str


COLUMNS = Row._fields
VIN_COLUMNS = (
    "card",
    "vin",
    "raw",
    "confidence",
    "check_digit",
    "status",
    "region",
    "manufacturer",
    "model_year",
    "message",
)


def printable(path: str) -> str:
    """A path as text for a CSV cell that a spreadsheet does not take for a formula.

    `=x.png` becomes `./=x.png`, the same file; bytes that are no UTF-8 become `\\xNN`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return f"./{text}" if text[:1] in "=+-@\t\r\n" else text


def ascii_code(character: str) -> str:
    """Three decimal digits, `065` for A; empty for no character."""
    return f"{ord(character):03d}" if character else ""
