"""vins.xlsx: the rows of vins.csv for whoever opens them in a spreadsheet.

What a CSV cannot say to one stands in it: text stays text (065, or a number that begins with -),
columns are wide enough, doubtful cards are coloured, and a card's name leads to its images.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

from vinreader.files import replacing
from vinreader.tables import VinRow

MOST = 1_048_575  # cards: rows of a sheet without the first
LINKS = 65_000  # that a sheet can have
LONGEST_LINK, LONGEST_CELL = 2000, 32_767  # characters
WIDTHS = {"card": 28, "vin": 21, "raw": 21, "read_as": 21, "manufacturer": 22, "message": 80}
WIDTH = 14
DOUBTFUL = "#FFE8B3"


@contextmanager
def Workbook(path: Path) -> Iterator["Sheet"]:
    """A file in the making: it is there, whole, when the block succeeds.

    Raises: OSError if it cannot be written.
    """
    import xlsxwriter  # which takes as long as a card is read
    from xlsxwriter.exceptions import FileCreateError

    with replacing(path) as temporary, TemporaryDirectory() as parts:
        book = xlsxwriter.Workbook(str(temporary), {"constant_memory": True, "tmpdir": parts})
        sheet = Sheet(book, path.parent)
        try:
            yield sheet
            sheet.end()
            book.close()
        except FileCreateError as failed:
            raise failed.args[0] from None  # the OSError that it wraps
        except BaseException:
            with suppress(OSError):  # the disk may be full
                sheet.of_book.row_data_fh.close()
            book.fileclosed = True
            raise


class Sheet:
    """The cards of a book of xlsxwriter's in `folder`, a row at a time, however many."""

    def __init__(self, book: Any, folder: Path) -> None:
        self._folder, self._rows = folder, 0
        book.use_zip64()
        # The same rows give the same bytes.
        book.set_properties({"created": datetime(2000, 1, 1)})
        self._formats = {
            (doubtful, link): book.add_format(
                {"num_format": "@"}
                | ({"bg_color": DOUBTFUL} if doubtful else {})
                | ({"font_color": "#0563C1", "underline": True} if link else {})
            )
            for doubtful in (False, True)
            for link in (False, True)
        }
        self.of_book = book.add_worksheet("vins")
        self.of_book.freeze_panes(1, 1)
        self.of_book.set_landscape()  # printed: all columns on one page, their names on each
        self.of_book.fit_to_pages(1, 0)
        self.of_book.repeat_rows(0)
        bold = book.add_format({"bold": True})
        for column, name in enumerate(VinRow._fields):
            self.of_book.set_column(column, column, WIDTHS.get(name, WIDTH))
            self.of_book.write_string(0, column, name, bold)

    def end(self) -> None:
        self.of_book.autofilter(0, 0, max(1, min(self._rows, MOST)), len(VinRow._fields) - 1)

    def add(self, row: VinRow, source: str) -> None:
        """Adds a card's row, if the sheet holds so many. source: the folder or file of its images,
        or "" if that is not known."""
        self._rows += 1
        if self._rows > MOST:
            return
        doubtful = row.status != "ok"
        for column, cell in enumerate(row):
            shown = cell[:LONGEST_CELL]
            self.of_book.write_string(self._rows, column, shown, self._formats[doubtful, False])
        link = f"external:{quote(os.fsencode(self._way_to(source)))}"
        if source and self._rows <= LINKS and len(link) <= LONGEST_LINK:
            shown = row.card[:LONGEST_CELL]
            self.of_book.write_url(self._rows, 0, link, self._formats[doubtful, True], shown)

    def _way_to(self, source: str) -> str:
        """A path as it leads from the file's folder, if there is a way on the same disk."""
        try:
            return f"./{Path(os.path.relpath(source, self._folder)).as_posix()}"
        except ValueError:  # another drive of Windows, or no path at all
            return Path(source).absolute().as_posix()
