"""The package as other programs use it."""

import doctest
import re
import subprocess
import sys

from vintraining.drawing.cards import draw_cards

import numpy as np
import pytest
from PIL import Image

import vinreader
from conftest import PROJECT, save_card, unmeasured
from vinreader import CardReading, FieldNotFound, Reader, Reading, find_boxes, open_pages
from vinreader.spec import CHARACTERS

RELEASED = PROJECT / "models/released/vin-reader.tflite"


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader(RELEASED)


@pytest.fixture(scope="module")
def cards() -> list:
    return draw_cards(2)


def test_the_documented_example_runs(cards, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_card(tmp_path / "input/card-01", cards[0])
    result = doctest.testmod(vinreader, raise_on_error=False)
    assert result.attempted >= 7 and not result.failed


def test_a_card_is_read_box_by_box_and_as_a_number(reader, cards):
    card = reader.read_card(cards[0].boxes)
    assert isinstance(card, CardReading) and card.vin == cards[0].vin
    plain = reader.read(cards[0].boxes)
    assert card.raw == "".join(reading.character for reading in plain)
    assert len(card.boxes) == len(card.alternatives) == 17
    for box, reading, alternatives in zip(card.boxes, plain, card.alternatives, strict=True):
        assert isinstance(box, Reading) and box.probabilities.shape == (len(CHARACTERS),)
        assert np.array_equal(box.probabilities, reading.probabilities)
        assert np.isclose(box.probabilities.sum(), 1)
        assert box.confidence == box.probabilities.max()
        assert [p for _, p in alternatives] == sorted((p for _, p in alternatives), reverse=True)
    unruled = reader.read_card(cards[0].boxes, rules="none")
    assert unruled.vin == unruled.raw and not unruled.changed


def test_the_whole_field_is_cut_into_its_boxes(reader, cards):
    card = reader.read_card(find_boxes(cards[1].field))
    assert sum(a == b for a, b in zip(card.vin, cards[1].vin, strict=True)) >= 15
    with pytest.raises(FieldNotFound):
        find_boxes(np.full((60, 900), 230, np.uint8))


def test_an_empty_box_is_told_and_doubted(reader, cards):
    boxes = list(cards[0].boxes)
    boxes[4] = np.full((60, 50), 230, np.uint8)
    card = reader.read_card(boxes)
    assert card.raw[4] == "-" and card.status == "review" and len(card.vin) == 17
    assert card.message.startswith("box 5: no ink")
    assert card.vin[4] == "-" and card.alternatives[4] == () and card.confidence == 0
    assert card.check_digit == "" and card.message.count("box 5") == 1
    assert np.allclose(card.boxes[4].probabilities, 1 / len(CHARACTERS))


@pytest.mark.parametrize("count", [0, 1, 16, 18])
def test_a_card_has_17_boxes(reader, cards, count):
    with pytest.raises(ValueError, match=f"17 boxes, not {count}"):
        reader.read_card((cards[0].boxes * 2)[:count])


def test_what_is_no_image_is_refused(reader, cards):
    with pytest.raises(ValueError, match="uint8"):
        reader.read([np.zeros((28, 28))])
    with pytest.raises(ValueError, match="rules"):
        reader.read_card(cards[0].boxes, rules="some")
    assert reader.read([]) == []


def test_a_file_is_read_page_by_page(reader, cards, tmp_path):
    pages = [Image.fromarray(box) for box in cards[0].boxes[:3]]
    pages[0].save(tmp_path / "boxes.tif", save_all=True, append_images=pages[1:])
    assert len(open_pages(tmp_path / "boxes.tif")) == 3
    readings = reader.read_file(tmp_path / "boxes.tif")
    assert [r.character for r in readings] == [r.character for r in reader.read(cards[0].boxes[:3])]


def test_names_are_imported_when_they_are_asked_for():
    assert {*vinreader.__all__} == {*vinreader._PLACES}
    assert all(getattr(vinreader, name) for name in vinreader.__all__)
    with pytest.raises(AttributeError, match="'vinreader' has no attribute 'Writer'"):
        _ = vinreader.Writer


def test_a_type_checker_takes_the_example_of_the_readme(tmp_path):
    text = (PROJECT / "README.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(from vinreader import .*?)```", text, re.DOTALL)
    (tmp_path / "example.py").write_text(f"{example}\nreveal_type(Reader)\n")
    # As strictly as the project's own code, of which mypy then knows everything already.
    command = [sys.executable, "-m", "mypy", tmp_path / "example.py"]
    result = subprocess.run(command, cwd=PROJECT, env=unmeasured(), capture_output=True, text=True)
    assert result.returncode == 0, result.stdout
    assert "-> vinreader.reader.Reader" in result.stdout


def test_litert_speaks_of_errors_only(cards, capfd):
    Reader(RELEASED).read(cards[0].boxes[:1])
    assert capfd.readouterr().err == ""
