"""vins.xlsx: the rows of vins.csv for whoever opens them in a spreadsheet.

What a CSV cannot say to one stands in it: text stays text (065, or a number that begins with -),
columns are wide enough, doubtful cards are coloured, and a card's name leads to its images.
"""

import os
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self
from urllib.parse import quote

from vinreader.files import replacing
from vinreader.tables import VinRow

MOST = 1_048_575  # cards: rows of a sheet without the first
LINKS = 65_000  # that a sheet can have
LONGEST_LINK, LONGEST_CELL = 2000, 32_767  # characters
WIDTHS = {"card": 28, "vin": 21, "raw": 21, "read_as": 21, "manufacturer": 22, "message": 80}
WIDTH = 14
DOUBTFUL = "#FFE8B3"


class Workbook:
    """The file in the making, a row at a time, however many. A context manager: the file is there,
    whole, when the block succeeds.

    Raises: OSError if it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self.rows = 0

    def __enter__(self) -> Self:
        import xlsxwriter  # which takes as long as a card is read

        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            settings = {
                "constant_memory": True,
                "tmpdir": stack.enter_context(TemporaryDirectory()),
            }
            self._book = xlsxwriter.Workbook(str(temporary), settings)
            self._begin()
            self._stack = stack.pop_all()
        return self

    def _begin(self) -> None:
        self._book.use_zip64()
        # The same rows give the same bytes.
        self._book.set_properties({"created": datetime(2000, 1, 1)})
        self._formats = {
            (doubtful, link): self._book.add_format(
                {"num_format": "@"}
                | ({"bg_color": DOUBTFUL} if doubtful else {})
                | ({"font_color": "#0563C1", "underline": True} if link else {})
            )
            for doubtful in (False, True)
            for link in (False, True)
        }
        self._sheet = self._book.add_worksheet("vins")
        self._sheet.freeze_panes(1, 1)
        bold = self._book.add_format({"bold": True})
        for column, name in enumerate(VinRow._fields):
            self._sheet.set_column(column, column, WIDTHS.get(name, WIDTH))
            self._sheet.write_string(0, column, name, bold)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from xlsxwriter.exceptions import FileCreateError

        with self._stack:
            if error:
                with suppress(OSError):  # the disk may be full
                    self._sheet.row_data_fh.close()
                self._book.fileclosed = True
                raise error
            self._sheet.autofilter(0, 0, max(1, min(self.rows, MOST)), len(VinRow._fields) - 1)
            try:
                self._book.close()
            except FileCreateError as failed:
                raise failed.args[0] from None  # the OSError that it wraps

    def add(self, row: VinRow, source: str) -> None:
        """Adds a card's row, if the sheet holds so many. source: the folder or file of its images,
        or "" if that is not known."""
        self.rows += 1
        if self.rows > MOST:
            return
        doubtful = row.status != "ok"
        for column, cell in enumerate(row):
            shown = cell[:LONGEST_CELL]
            self._sheet.write_string(self.rows, column, shown, self._formats[doubtful, False])
        link = f"external:{quote(os.fsencode(self._way_to(source)))}"
        if source and self.rows <= LINKS and len(link) <= LONGEST_LINK:
            shown = row.card[:LONGEST_CELL]
            self._sheet.write_url(self.rows, 0, link, self._formats[doubtful, True], shown)

    def _way_to(self, source: str) -> str:
        """A path as it leads from the file's folder, if there is a way on the same disk."""
        try:
            return f"./{Path(os.path.relpath(source, self._path.parent)).as_posix()}"
        except ValueError:  # another drive of Windows, or no path at all
            return Path(source).absolute().as_posix()
