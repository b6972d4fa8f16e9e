"""The table that comes back from the page: vins.csv with what a person decided."""

from pathlib import Path

from vintraining.hands.labelled import first_of

from vinreader.decisions import read_vins
from vinreader.number.vin import is_number
from vinreader.spec import CHARACTERS
from vinreader.tables import ACCEPTED, CONFIRMED, DRAWN, TableError, VinRow


class CheckedRow(VinRow):
    """A row of the table; `vin` is what the person made of it, if one looked."""

    __slots__ = ()

    @property
    def decided(self) -> bool:
        """Whether a person checked or corrected it."""
        return self.decision in ACCEPTED

    @property
    def read(self) -> str:
        """The number as it was read, before the person."""
        return self.read_as if self.decided else self.vin

    @property
    def drawn(self) -> bool:
        return self.audit == DRAWN

    @property
    def whole(self) -> bool:
        """Whether it is a number, of a card of which all boxes were read."""
        return is_number(self.vin) and bool(self.confidence)


def read_table(path: Path) -> list[CheckedRow]:
    """All rows of a vins.csv, in order. Raises: TableError, naming the lines that are wrong."""
    try:
        found = [(line, CheckedRow(*row)) for line, row in read_vins(path)]
    except OSError as error:
        raise TableError(
            f"{path}: {error.strerror}; name the vins.csv that the page gave back"
        ) from None
    line_of: dict[str, int] = {}
    problems = [(line, _problem(row, line, line_of)) for line, row in found]
    if wrong := [f"line {line}: {problem}" for line, problem in problems if problem]:
        raise TableError(first_of(wrong, path))
    return [row for _, row in found]


def _problem(row: CheckedRow, line: int, line_of: dict[str, int]) -> str:
    """What is wrong with a row, whose card `line_of` takes up, else ''."""
    if not row.card:
        return "no card is named"
    if row.card in line_of:
        return f"card {row.card} stands in line {line_of[row.card]} already; take one of them out"
    line_of[row.card] = line
    try:
        float(row.confidence or 0)
    except ValueError:
        return f"confidence {row.confidence!r} is no number; download the table from the page anew"
    if not row.decided:
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
