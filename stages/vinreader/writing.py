"""The files of a reading: predictions.csv, and for cards vins.csv, vins.xlsx and the page.

All of them are written, or none; what persons have decided is never replaced.
"""

import csv
import heapq
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import Any, Protocol, Self

from vinreader.console import text
from vinreader.decisions import read_vins
from vinreader.files import Csv, put_aside, sha256
from vinreader.number.known import alike, note_alike
from vinreader.pipeline import Result
from vinreader.review import Review
from vinreader.spec import UserError
from vinreader.summary import Summary
from vinreader.tables import DRAWN, PAGE, STORE, VINS, WORKBOOK, Row, VinRow
from vinreader.template import Entry
from vinreader.workbook import Workbook

ROWS_IN_MEMORY = 8 << 20  # bytes of vins.csv in the making that need no file


class Cards:
    """Rows of vins.csv, kept on disk until the last one is read: what a card says of others like
    it, and whether it is drawn for the audit, is known only then. A context manager."""

    def __init__(self) -> None:
        self._kept = SpooledTemporaryFile(  # noqa: SIM115 (closed with this object)
            ROWS_IN_MEMORY, "w+", newline="", encoding="utf-8", errors="surrogateescape"
        )
        self._writer = csv.writer(self._kept)
        self._names: dict[str, str] = {}  # by what tells them apart
        self._vins: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._kept.close()

    def add(self, row: VinRow, source: str = "") -> None:
        """source: the folder or file of its images, if that is known.

        Raises: UserError where a card before has a name that can be taken for this one's.
        """
        folded = unicodedata.normalize("NFC", row.card).casefold()
        if folded in self._names:
            raise UserError(text("same_names", one=self._names[folded], other=row.card))
        self._names[folded] = row.card
        self._vins.append(row.vin)
        self._writer.writerow((*row, source))

    def drawn(self, number: int) -> set[int]:
        """The places of so many accepted cards, or of all: a simple random sample. Lots follow from
        what is in the rows alone: the same reading draws the same cards."""
        accepted = ((p, row) for p, (row, _) in enumerate(self._rows()) if row.status == "ok")
        lots = ((sha256("\0".join(row).encode()), place) for place, row in accepted)
        return {place for _, place in heapq.nsmallest(number, lots)}

    def notes(self) -> dict[int, str]:
        """By the place of a card: which others have its number, or one that differs in a box."""
        names = [*self._names.values()]
        return {
            place: note_alike([(names[other], box) for other, box in others])
            for place, others in alike(self._vins).items()
        }

    def rows(
        self, notes: Mapping[int, str], drawn: Collection[int] = ()
    ) -> Iterator[tuple[VinRow, str]]:
        """All rows in order, each with its note and whether it was drawn for the audit, and where
        its images are."""
        for place, (row, source) in enumerate(self._rows()):
            message = "; ".join(filter(None, (row.message, notes.get(place))))
            audit = DRAWN if place in drawn else ""
            yield row._replace(message=message, audit=audit), source

    def _rows(self) -> Iterator[tuple[VinRow, str]]:
        self._kept.seek(0)
        for *cells, source in csv.reader(self._kept):
            yield VinRow(*cells), source


class Page(Protocol):
    """What takes the cards so that persons can check them: `Review` or a check station's store."""

    name: str

    def __enter__(self) -> Self: ...
    def __exit__(self, *error: Any) -> None: ...
    def add(self, entry: Entry) -> None: ...
    def write(
        self, path: Path, notes: Mapping[int, str] | None = None, blind: Collection[int] = ()
    ) -> None: ...


def write_files(
    results: Iterable[Result],
    output: Path,
    summary: Summary,
    audit: int = 0,
    page: Page | None = None,
    before_replacing: Callable[[], None] = lambda: None,
) -> list[Path]:
    """predictions.csv, and for cards vins.csv, vins.xlsx and the page beside it: all or none.

    audit: so many of the accepted cards, or all where there are fewer, are to be checked blind.
    page: by default review.html. before_replacing: called when everything is read, so that nobody
    interrupts between two files. Returns the CSV tables.

    Raises: UserError, OSError; nothing was changed then.
    """
    refuse_another(output)
    tables = [output]
    # vins.csv is replaced last: what persons decided in the old one is in the page's store by then.
    with ExitStack() as last, ExitStack() as stack:
        predictions = Csv(output, Row._fields, stack)
        page = stack.enter_context(page or Review())
        cards = stack.enter_context(Cards())
        vins = None
        for result in results:
            predictions.write(result.rows)
            summary.add(result)
            if result.vin_row and result.entry:
                if not vins:
                    tables.append(output.with_name(VINS))
                    vins = Csv(tables[-1], VinRow._fields, last)
                cards.add(result.vin_row, result.source)
                page.add(result.entry)
        if vins:
            notes, drawn = cards.notes(), cards.drawn(audit)
            workbook = stack.enter_context(Workbook(output.with_name(WORKBOOK)))
            for row, source in cards.rows(notes, drawn):
                vins.write([row])
                workbook.add(row, source)
            before_replacing()
            page.write(output.with_name(page.name), notes, drawn)
            summary.drawn = len(drawn)
        else:
            before_replacing()
    return tables


def refuse_another(output: Path) -> None:
    """Stops a reading whose `--output` is there and no table of boxes, but a scan or a list.

    Raises: UserError.
    """
    if not output.is_file():
        return
    columns = ",".join(Row._fields).encode()
    with output.open("rb") as file:
        start = file.read(len(columns))
    if start and start != columns:
        raise UserError(text("is_another", path=output))


def refuse_to_replace(output: Path) -> None:
    """Stops a reading that would replace what is no reading of its own.

    Raises: UserError where `output` is a stream of a process (/dev/stdout), has another file's name
    or is no table of boxes, or where beside it are decisions of persons or a station's store.
    """
    streams = str(output.parent.resolve()), str(output.readlink()) if output.is_symlink() else ""
    if any(place.startswith("/proc/") for place in streams):
        raise UserError(text("no_file", path=output))
    if output.name.casefold() in (VINS, WORKBOOK, PAGE, STORE):
        raise UserError(text("is_a_result", path=output))
    refuse_another(output)
    vins, store = output.with_name(VINS), output.with_name(STORE)
    if store.exists():
        raise UserError(text("has_station", path=store, vins=vins))
    if vins.is_file() and vins.stat().st_size:
        try:
            decided = sum(bool(row.decision) for _, row in read_vins(vins))
        except (
            UserError
        ) as error:  # as after a spreadsheet has saved it: who can tell what is there?
            raise UserError(text("not_replaced", why=error)) from None
        if decided:
            raise UserError(text("has_decisions", path=vins, cards=decided))


def put_aside_earlier(output: Path) -> dict[str, str]:
    """Renames the files for cards that an earlier reading wrote beside `output`, where this one
    found no card: they would look like its own. Returns their new names by the old ones."""
    found = [output.with_name(name) for name in (VINS, WORKBOOK, PAGE)]
    return {path.name: put_aside(path).name for path in found if path.is_file()}


def put_aside_changed(output: Path, recorded: Mapping[str, str]) -> dict[str, str]:
    """Renames the tables beside `output` that somebody has changed since they were written.

    recorded: their SHA-256 by name. Returns their new names by the old ones.
    """
    tables = [(output.with_name(name), digest) for name, digest in recorded.items()]
    changed = [path for path, digest in tables if path.is_file() and sha256(path) != digest]
    return {path.name: put_aside(path).name for path in changed}
