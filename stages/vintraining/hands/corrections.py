"""The table that comes back from the page: vins.csv with what a person decided.

A row's `message` ends with the decision: `checked by a person`, or `corrected by a person (box 3:
7 -> 1)`; a card that was drawn to be checked blind says so before it (`tables.DRAWN`).
"""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

from vinreader.spec import BOXES, CHARACTERS, UserError
from vinreader.tables import DRAWN, VinRow

MOST_TOLD = 10  # wrong rows that a message names
_DECISION = re.compile(
    r"(?:^|; )(?:(?P<checked>checked)|corrected) by a person(?: \((?P<boxes>[^()]*)\))?$"
)
_CHANGE = re.compile(r"box (\d+): (.) -> (.)")


class TableError(UserError):
    """The table cannot be used; the text says which lines are wrong and what to do."""


@dataclass(frozen=True)
class CheckedRow:
    """A row of the table.

    Attributes:
        row: as it stands there; `vin` is what the person made of it, if one looked.
        line: of the file, from 1.
        decided: whether a person checked or corrected it.
        read: the number as it was read, before the person.
        drawn: whether the card was drawn for the audit.
    """

    row: VinRow
    line: int
    decided: bool
    read: str
    drawn: bool

    @property
    def whole(self) -> bool:
        """Whether it is a number of 17 characters."""
        return len(self.row.vin) == BOXES


def read_table(path: Path) -> list[CheckedRow]:
    """All rows of a vins.csv, in order.

    Raises:
        TableError: no such table, or rows are wrong; the text names their lines.
    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise TableError(f"{path}: {reason}; name the vins.csv that the page gave back") from None
    reader = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [name for name in VinRow._fields if name not in (reader.fieldnames or [])]:
        raise TableError(
            f"{path} is no vins.csv: no column {', '.join(missing)}. Its first line is "
            f"{','.join(VinRow._fields)}, with commas between them; download it from the page anew"
        )
    rows: list[CheckedRow] = []
    line_of: dict[str, int] = {}
    wrong: list[str] = []
    try:
        for entry in reader:
            row = _row(entry, reader.line_num, line_of)
            if isinstance(row, CheckedRow):
                rows.append(row)
            else:
                wrong.append(f"  line {reader.line_num}: {row}")
    except csv.Error as error:
        wrong.append(f"  line {reader.line_num}: {error}; download the table from the page anew")
    if wrong:
        more = len(wrong) - MOST_TOLD
        raise TableError(
            f"{len(wrong)} wrong in {path}:\n"
            + "\n".join(wrong[:MOST_TOLD] + ([f"  and {more:,} more"] if more > 0 else []))
        )
    return rows


def _row(entry: dict[str, str | None], line: int, line_of: dict[str, int]) -> CheckedRow | str:
    """The row, whose card `line_of` takes up, or what is wrong with it."""
    row = VinRow(**{name: entry.get(name) or "" for name in VinRow._fields})
    if not row.card:
        return "no card is named"
    if row.card in line_of:
        return f"card {row.card} stands in line {line_of[row.card]} already; take one of them out"
    line_of[row.card] = line
    decision = _DECISION.search(row.message)
    drawn = DRAWN in row.message.split("; ")
    if not decision:
        return CheckedRow(row, line, False, row.vin, drawn)
    if strange := set(row.vin) - set(CHARACTERS) - {"-"}:
        return (
            f"card {row.card}: {row.vin!r} has {' '.join(sorted(strange))}, which no VIN has; "
            "correct it on the page"
        )
    read = _before(row.vin, decision)
    if read is None:
        return f"card {row.card}: the message does not fit {row.vin!r}; download the table anew"
    return CheckedRow(row, line, True, read, drawn)


def _before(vin: str, decision: re.Match[str]) -> str | None:
    """What had been read, with the person's changes taken back; None where they do not fit."""
    read = list(vin)
    changes = _CHANGE.findall(decision["boxes"] or "")
    if bool(changes) == bool(decision["checked"]):
        return None
    for number, before, after in changes:
        box = int(number) - 1
        if not 0 <= box < len(read) or read[box] != after:
            return None
        read[box] = before
    return "".join(read)
