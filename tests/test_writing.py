"""What a reading writes and says: nothing that a person made is replaced, nothing left unsaid."""

import csv
import json
import os
import shutil
import string
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import cv2
import openpyxl
import pytest

from conftest import PROJECT, predict_here, rows, save_card, write_rows
from vinreader.decisions import read_vins
from vinreader.spec import UserError
from vinreader.tables import Row, TableError, VinRow, guarded, read_table
from vinreader.workbook import MOST, Workbook
from vinreader.writing import Cards

CARDS = draw_cards(2, seed=5)


@pytest.fixture
def folder(tmp_path) -> Path:
    save_card(tmp_path / "input/one", CARDS[0])
    return tmp_path


def test_a_missing_or_unreadable_box_keeps_its_place(tmp_path):
    save_card(tmp_path / "input/missing", CARDS[0], [n for n in range(1, 18) if n != 5])
    save_card(tmp_path / "input/broken", CARDS[0])
    (tmp_path / "input/broken/05.png").write_bytes(b"")
    save_card(tmp_path / "input/extra", CARDS[0], range(1, 19))
    save_card(tmp_path / "input/whole", CARDS[0])
    assert predict_here("input", cwd=tmp_path).returncode == 1
    raw = {row["card"]: row["raw"] for row in rows(tmp_path / "vins.csv")}
    read = raw["whole"]
    assert raw["missing"] == raw["broken"] == f"{read[:4]}-{read[5:]}"
    assert raw["extra"] == read + read[0]
    assert len(rows(tmp_path / "predictions.csv")) == 16 + 17 + 18 + 17
    status = {row["card"]: row["status"] for row in rows(tmp_path / "vins.csv")}
    assert {status.pop(card) for card in ("missing", "broken", "extra")} == {"review"}


def test_what_is_left_aside_is_said_and_recorded(folder):
    (folder / "input/one/notes.txt").write_text("text")
    (folder / "input/loose").write_bytes((folder / "input/one/01.png").read_bytes())
    for place in ("a", "b", "c", "d"):
        (folder / "input" / place).mkdir()
        (folder / "input" / place / "scans.zip").write_bytes(b"PK\3\4" + bytes(60))
    result = predict_here("input", cwd=folder)
    assert result.returncode == 0
    assert "18 images: 17 PNG, 1 without ending" in result.stdout
    assert "4 left aside: ZIP: not read; unpack it; in a (1), b (1), c (1) and 1 more" in (
        result.stdout
    )
    assert "1 left aside: no image (.txt); in one (1)" in result.stdout
    record = json.loads((folder / "predictions.csv.json").read_text("utf-8"))["found"]
    assert record["images"] == {"": 1, "PNG": 17}
    assert record["left_aside"]["ZIP: not read; unpack it"] == dict.fromkeys("abcd", 1)


def decided(folder: Path, **cells: str) -> bytes:
    """vins.csv after a person decided on its card."""
    table = rows(folder / "vins.csv")
    table[0] |= cells
    columns = list(VinRow._fields)
    if "decision" not in cells:  # as tables were before there were columns for that
        columns = columns[: columns.index("message") + 1]
    return write_rows(folder / "vins.csv", columns, table).read_bytes()


@pytest.mark.parametrize(
    "cells", [{"decision": "confirmed"}, {"message": "box 3: no ink; checked by a person"}]
)
def test_decisions_of_persons_are_not_replaced(folder, cells):
    assert predict_here("input", cwd=folder).returncode == 0
    before = decided(folder, **cells)
    refused = predict_here("input", cwd=folder)
    assert refused.returncode == 2 and "decisions of persons on 1 cards" in refused.stderr
    assert (folder / "vins.csv").read_bytes() == before
    assert predict_here("input", "--output", "again/predictions.csv", cwd=folder).returncode == 0


def test_a_table_that_a_person_has_changed_is_put_aside_and_named(folder):
    assert predict_here("input", cwd=folder).returncode == 0
    written = (folder / "vins.csv").read_bytes()
    by_hand = written.replace(CARDS[0].vin.encode(), b"1M8GDM9AXKP042788")
    (folder / "vins.csv").write_bytes(by_hand)
    assert by_hand != written
    again = predict_here("input", cwd=folder)
    assert again.returncode == 0 and "now called vins.earlier.csv" in again.stdout
    assert (folder / "vins.csv").read_bytes() == written
    assert (folder / "vins.earlier.csv").read_bytes() == by_hand
    assert "now called" not in predict_here("input", cwd=folder).stdout


def test_a_card_s_name_is_no_decision_in_a_table_without_such_columns(folder):
    for name in ("two", "x; checked by a person"):  # whose names stand in each other's messages
        save_card(folder / "input" / name, CARDS[0])
    assert predict_here("input", cwd=folder).returncode == 0
    decided(folder)
    with pytest.raises(TableError, match="has a name like a decision"):
        read_vins(folder / "vins.csv")


def test_decisions_that_a_spreadsheet_saved_in_its_way_are_not_replaced(folder):
    assert predict_here("input", cwd=folder).returncode == 0
    decided(folder, decision="confirmed", clerk="\u041e\u043b\u0435\u043d\u0430")
    table = (folder / "vins.csv").read_text("utf-8").replace(",", ";").encode("cp1251")
    (folder / "vins.csv").write_bytes(table)
    refused = predict_here("input", cwd=folder)
    assert refused.returncode == 2 and "may hold decisions" in refused.stderr
    assert (folder / "vins.csv").read_bytes() == table


def test_a_file_of_another_kind_is_not_replaced(folder):
    scan, known = folder / "input/one/01.png", folder / "list.csv"
    known.write_text("vin\n1M8GDM9AXKP042788\n")
    for path in (scan, known):
        before = path.read_bytes()
        refused = predict_here("input", "--output", path, "--known", known, cwd=folder)
        assert refused.returncode == 2 and f"{path} is there already" in refused.stderr
        assert path.read_bytes() == before


def test_a_station_s_tables_are_not_replaced(folder):
    (folder / "checks.sqlite").write_bytes(b"")
    refused = predict_here("input", cwd=folder)
    assert refused.returncode == 2 and "vin-reader check" in refused.stderr
    assert not (folder / "predictions.csv").exists()


@pytest.mark.parametrize("name", ["vins.csv", "VINS.csv", "vins.xlsx", "review.html"])
def test_the_table_of_boxes_takes_no_other_file_s_name(folder, name):
    refused = predict_here("input", "--output", name, cwd=folder)
    assert refused.returncode == 2 and name in refused.stderr
    assert [path.name for path in folder.iterdir()] == ["input"]


def test_what_an_earlier_reading_left_does_not_look_current(folder):
    assert predict_here("input", cwd=folder).returncode == 0
    before = (folder / "vins.csv").read_bytes()
    cv2.imwrite(str(folder / "box.png"), CARDS[0].boxes[0])
    result = predict_here("box.png", cwd=folder)
    assert result.returncode == 0 and "vins.earlier.csv" in result.stdout
    names = {path.name for path in folder.iterdir()}
    assert {"vins.earlier.csv", "vins.earlier.xlsx", "review.earlier.html"} < names
    assert not {"vins.csv", "vins.xlsx", "review.html"} & names
    assert (folder / "vins.earlier.csv").read_bytes() == before
    assert predict_here("input", cwd=folder).returncode == 0
    assert predict_here("box.png", "--output", "other.csv", cwd=folder).returncode == 0
    assert (folder / "vins.csv").read_bytes() == before  # of predictions.csv, not of other.csv


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_an_output_that_is_a_link_stays_one(folder):
    (folder / "far").mkdir()
    (folder / "far/table.csv").write_text("")
    (folder / "out.csv").symlink_to("far/table.csv")
    assert predict_here("input", "--output", "out.csv", cwd=folder).returncode == 0
    assert (folder / "out.csv").is_symlink() and len(rows(folder / "far/table.csv")) == 17
    (folder / "stdout").symlink_to("/proc/self/fd/1")  # as /dev/stdout is
    for stream in ("stdout", "/proc/self/fd/1"):
        refused = predict_here("input", "--output", stream, cwd=folder)
        assert refused.returncode == 2 and "no ordinary file" in refused.stderr
    assert (folder / "stdout").is_symlink()


def test_names_that_can_be_taken_for_each_other_are_refused_with_both():
    for one, other in (("a/B", "a/b"), ("caf\u00e9", "cafe\u0301")):
        with Cards() as cards, pytest.raises(UserError, match=f"{one} and {other}"):
            cards.add(VinRow(one))
            cards.add(VinRow("between"))
            cards.add(VinRow(other))
    with Cards() as cards:
        for name in ("a/b", "a_b", "a b"):
            cards.add(VinRow(name))
        assert [row.card for row, _ in cards.rows({})] == ["a/b", "a_b", "a b"]


@pytest.mark.parametrize("start", ["\ufeff", ""])
def test_a_table_comes_back_as_it_was(tmp_path, start):
    cells = ["-ABC", "=1", "065", 'say "x"', "a\nb", "", "@x", "plain"]
    path = tmp_path / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(start)
        csv.writer(file).writerows([Row._fields, map(guarded, cells)])
    ((line, found),) = read_table(path, Row._fields)
    assert list(found.values()) == cells and line == 3
    with path.open(newline="", encoding="utf-8-sig") as file:
        assert not [c for row in csv.reader(file) for c in row if c[:1] in tuple("=+-@")]


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"card;vin\n1;2\n", "no column card and vin"), (b"\xff", "not UTF-8")],
)
def test_what_is_no_such_table_says_so(tmp_path, content, says):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    with pytest.raises(TableError, match=says) as error:
        read_table(path, ("card", "vin"))
    assert str(path) in str(error.value)


def test_the_workbook_has_the_rows_of_the_table(folder):
    save_card(folder / "input/sixteen = a %20 # card", CARDS[1], range(2, 18))
    assert predict_here("input", cwd=folder).returncode == 0
    sheet = openpyxl.load_workbook(folder / "vins.xlsx")["vins"]
    shown = [[cell.value or "" for cell in row] for row in sheet.iter_rows()]
    table = [row for _, row in read_table(folder / "vins.csv", VinRow._fields)]
    assert shown == [[*table[0]], *(list(row.values()) for row in table)]
    assert shown[2][2].startswith("-")  # which is no formula
    assert all(cell.data_type == "s" for row in sheet.iter_rows() for cell in row if cell.value)
    colours = [row[0].fill.fgColor.rgb for row in sheet.iter_rows(min_row=2)]
    doubtful = [row["status"] == "review" for row in table]
    assert [colour != "00000000" for colour in colours] == doubtful
    before = (folder / "vins.xlsx").read_bytes()
    assert predict_here("input", cwd=folder).returncode == 0
    assert (folder / "vins.xlsx").read_bytes() == before


def test_a_workbook_takes_no_memory_and_no_more_than_a_sheet_holds(tmp_path, monkeypatch):
    monkeypatch.setattr("vinreader.workbook.MOST", 3)
    with Workbook(tmp_path / "x.xlsx") as book:
        for number in range(5):
            book.add(VinRow(f"{number}", vin="065", raw="-1+2"), str(tmp_path / "a"))
    sheet = openpyxl.load_workbook(tmp_path / "x.xlsx")["vins"]
    assert [row[0].value for row in sheet.iter_rows(min_row=2)] == ["0", "1", "2"]
    assert (sheet["B2"].value, sheet["C2"].value) == ("065", "-1+2")
    assert MOST == 2**20 - 1
    with pytest.raises(ZeroDivisionError), Workbook(tmp_path / "y.xlsx") as book:
        book.add(VinRow("1"), "")
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["x.xlsx"]


def test_a_workbook_that_cannot_be_written_is_an_error_of_the_disk(tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zipfile.ZipFile.write", full)
    with pytest.raises(OSError, match="No space"), Workbook(tmp_path / "x.xlsx") as book:
        book.add(VinRow("1"), "")
    assert not list(tmp_path.iterdir())


def texts(language: str) -> dict[str, str]:
    path = PROJECT / f"stages/vinreader/texts/console.{language}.json"
    return json.loads(path.read_text("utf-8"))


def test_both_languages_have_the_same_texts_and_placeholders():
    def fields(text: str) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text) if name}

    english, ukrainian = ({k: fields(v) for k, v in texts(one).items()} for one in ("en", "uk"))
    assert english == ukrainian


def test_every_text_is_used():
    code = "".join(path.read_text("utf-8") for path in (PROJECT / "stages").rglob("*.py"))
    assert [key for key in texts("en") if f'"{key}"' not in code and f"'{key}'" not in code] == []


@pytest.mark.parametrize(
    ("arguments", "locale", "says"),
    [
        ([], "uk_UA.UTF-8", "Клітинок: 17"),
        (["--language", "uk"], "C", "Клітинок: 17"),
        ([], "C", "17 boxes"),
        (["--language", "en"], "uk_UA.UTF-8", "17 boxes"),
    ],
)
def test_the_console_speaks_the_system_s_language_or_the_one_named(
    folder, monkeypatch, arguments, locale, says
):
    monkeypatch.setenv("LC_ALL", locale)
    result = predict_here("input", *arguments, cwd=folder)
    assert result.returncode == 0 and says in result.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_no_name_commands_the_terminal(tmp_path):
    name = "\x1b[31mred\udcff"
    save_card(tmp_path / "card", CARDS[0])
    (tmp_path / name).mkdir()
    (tmp_path / "card").rename(tmp_path / name / "card")
    shutil.copy(tmp_path / name / "card/01.png", tmp_path / name / "box.png")
    (tmp_path / name / "x.\x1b[2J").write_bytes(b"text")
    for arguments in ([name], [name, "--output", "vins.csv"], [f"{name}-missing"]):
        result = predict_here(*arguments, cwd=tmp_path)
        assert "\x1b" not in result.stdout + result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "vins.xlsx").exists()


def test_an_empty_folder_says_what_lies_there(tmp_path):
    (tmp_path / "input").mkdir()
    (tmp_path / "input/scans.zip").write_bytes(b"PK\3\4" + bytes(60))
    result = predict_here("input", cwd=tmp_path)
    assert result.returncode == 2 and "no images" in result.stderr
    assert "1 left aside: ZIP" in result.stderr
