"""What a person decided of a card, as columns of vins.csv: written here, and read back here.

Tables written before there were such columns tell the decision at the end of `message`; they are
read as if they had the columns. In no other table does the message mean anything.
"""

import re
from pathlib import Path

from vinreader.number import vin
from vinreader.tables import (
    CONFIRMED,
    CORRECTED,
    DRAWN,
    ORIGINAL,
    UNREADABLE,
    TableError,
    VinRow,
    read_table,
)

_BEFORE = VinRow._fields[: VinRow._fields.index("read_as")]  # the columns of such tables
_SAID = {  # at the end of a message
    "checked by a person": CONFIRMED,
    "a person cannot read it": UNREADABLE,
    "needs the original, says a person": ORIGINAL,
}
_CORRECTED = re.compile(r"corrected by a person \(((?:box \d+: . -> .(?:, )?)+)\)")
_CHANGE = re.compile(r"box (\d+): (.) -> (.)")
_DRAWN = "drawn for audit"


def decided(row: VinRow, kind: str, read: str, number: str, clerk: str, at: str) -> VinRow:
    """The row of a card on which a person has decided.

    Args:
        row: as it was read. kind: `done`, `unreadable` or `original`.
        read: the characters as they were read; number: as the person left them, if `done`.
        at: the time, ISO 8601, UTC.
    """
    row = row._replace(read_as=read, clerk=clerk, decided_at=at)
    if kind != "done":
        return row._replace(status="review", decision=kind)
    decision = CONFIRMED if number == read else CORRECTED
    return row._replace(vin=number, status="ok", decision=decision, **tells(number))


def tells(number: str) -> dict[str, str]:
    """The cells that follow from a number; none if it is not one."""
    if not vin.is_number(number):
        return {}
    return {
        "check_digit": vin.check_digit_status(number),
        "region": vin.region(number),
        "manufacturer": vin.manufacturer(number),
        "model_year": vin.model_year(number),
    }


def read_vins(path: Path) -> list[tuple[int, VinRow]]:
    """The rows of a vins.csv, each with the line of the file where it ends.

    Raises: OSError where it cannot be read, TableError where it is no such table, or where a name
        in the messages of a table without columns of decisions reads like one.
    """
    found = []
    for line, cells in read_table(path, _BEFORE):
        row = VinRow(**{column: cells.get(column, "") for column in VinRow._fields})
        if "decision" not in cells:
            parts = row.card.split("; ")[1:]
            if any(part in (*_SAID, _DRAWN) or _CORRECTED.fullmatch(part) for part in parts):
                raise TableError(
                    f"{path}, line {line}: card {row.card!r} has a name like a decision, and no "
                    "column decision tells them apart; rename it and read the folder anew"
                )
            row = as_column(row)
        found.append((line, row))
    return found


def as_column(row: VinRow) -> VinRow:
    """A row written before there were columns of decisions, with what its message says in them."""
    *before, last = row.message.split("; ")
    changed = _CORRECTED.fullmatch(last)
    if changed:
        read = _taken_back(row.vin, changed[1])
        row = row._replace(decision=CORRECTED, read_as=read, message="; ".join(before))
    elif last in _SAID:
        row = row._replace(decision=_SAID[last], read_as=row.vin, message="; ".join(before))
    parts = row.message.split("; ")
    if _DRAWN in parts:
        parts.remove(_DRAWN)
        row = row._replace(message="; ".join(parts), audit=DRAWN)
    return row


def _taken_back(number: str, changes: str) -> str:
    """What had been read, before a person's changes; empty where they do not fit."""
    read = list(number)
    for at, before, after in _CHANGE.findall(changes):
        box = int(at) - 1
        if not 0 <= box < len(read) or read[box] != after:
            return ""
        read[box] = before
    return "".join(read)
