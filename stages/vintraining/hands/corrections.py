"""The table that comes back from the page: vins.csv with what a person decided."""

from dataclasses import dataclass
from pathlib import Path

from vinreader.decisions import read_vins
from vinreader.number.vin import is_number
from vinreader.spec import CHARACTERS
from vinreader.tables import ACCEPTED, CONFIRMED, DRAWN, TableError, VinRow

MOST_TOLD = 10  # wrong rows that a message names


@dataclass(frozen=True)
class CheckedRow:
    """A row of the table.

    Attributes:
        row: as it stands there; `vin` is what the person made of it, if one looked.
        line: of the file, from 1.
    """

    row: VinRow
    line: int

    @property
    def decided(self) -> bool:
        """Whether a person checked or corrected it."""
        return self.row.decision in ACCEPTED

    @property
    def read(self) -> str:
        """The number as it was read, before the person."""
        return self.row.read_as if self.decided else self.row.vin

    @property
    def drawn(self) -> bool:
        """Whether the card was drawn for the audit."""
        return self.row.audit == DRAWN

    @property
    def whole(self) -> bool:
        """Whether it is a number, of a card of which all boxes were read."""
        return is_number(self.row.vin) and bool(self.row.confidence)


def read_table(path: Path) -> list[CheckedRow]:
    """All rows of a vins.csv, in order.

    Raises:
        TableError: no such table, or rows are wrong; the text names their lines.
    """
    try:
        found = read_vins(path)
    except OSError as error:
        raise TableError(
            f"{path}: {error.strerror}; name the vins.csv that the page gave back"
        ) from None
    line_of: dict[str, int] = {}
    wrong = [
        f"  line {line}: {problem}"
        for line, row in found
        if (problem := _problem(row, line, line_of))
    ]
    if wrong:
        more = len(wrong) - MOST_TOLD
        raise TableError(
            f"{len(wrong)} wrong in {path}:\n"
            + "\n".join(wrong[:MOST_TOLD] + ([f"  and {more:,} more"] if more > 0 else []))
        )
    return [CheckedRow(row, line) for line, row in found]


def _problem(row: VinRow, line: int, line_of: dict[str, int]) -> str:
    """What is wrong with a row, whose card `line_of` takes up, else ''."""
    if not row.card:
        return "no card is named"
    if row.card in line_of:
        return f"card {row.card} stands in line {line_of[row.card]} already; take one of them out"
    line_of[row.card] = line
    if row.decision not in ACCEPTED:
        return ""
    if strange := set(row.vin) - set(CHARACTERS) - {"-"}:
        return (
            f"card {row.card}: {row.vin!r} has {' '.join(sorted(strange))}, which no VIN has; "
            "correct it on the page"
        )
    if not row.read_as or (row.decision == CONFIRMED) != (row.read_as == row.vin):
        return (
            f"card {row.card}: {row.decision}, and that does not fit {row.vin!r}, read as "
            f"{row.read_as!r}; download the table anew"
        )
    return ""
