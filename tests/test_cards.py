"""Drawn cards: 17 boxes with the number that the truth says, and files that are never lost."""

from vintraining.drawing.cards import Sample, draw_card, draw_cards

import cv2
import numpy as np
import pytest

from conftest import PROJECT, run_alone, run_code
from vinreader import Reader
from vinreader.image import boxes
from vinreader.number.vin import check_digit_required, check_digit_status


@pytest.fixture(scope="module")
def cards():
    return draw_cards(4, seed=1981)


def test_a_card_is_a_field_and_17_boxes_of_dark_ink_on_light_paper(cards):
    lines = 0  # of print, of which something was cut off with a box
    for card in cards:
        assert card.field.dtype == np.uint8 and card.field.ndim == 2
        assert card.field.shape[1] > 10 * card.field.shape[0] / 2
        assert len(card.boxes) == 17
        for box in card.boxes:
            assert box.dtype == np.uint8 and min(box.shape) > 40
            inside = box[10:-10, 8:-8]
            assert np.median(inside) > 150 and inside.min() < np.median(inside) - 40
            dark = box < np.median(box) - 30
            lines += dark[:4].mean(1).max() > 0.8 or dark[-4:].mean(1).max() > 0.8
    assert lines > 10


def test_the_numbers_are_valid(cards):
    more = draw_cards(17, seed=1981)
    assert [card.vin for card in more[:4]] == [card.vin for card in cards]
    assert len({card.vin for card in more}) == 17
    assert {check_digit_status(card.vin) for card in more} == {"ok", "not required"}
    required = [card for card in more if check_digit_required(card.vin)]
    assert len(required) > len(more) / 2
    assert all(check_digit_status(card.vin) == "ok" for card in required)


def test_most_cards_are_read_and_the_flawed_ones_are_doubted():
    reader = Reader()
    drawn = draw_cards(8)
    readings = [reader.read_card(card.boxes) for card in drawn]
    flaws = [card.flaw for card in drawn if card.flaw]
    assert flaws == ["box 13 crossed out", "box 12 U or V", "box 14 blot"]
    for card, reading in zip(drawn, readings, strict=True):
        assert reading.status == ("review" if card.flaw else reading.status)
        assert card.flaw or reading.vin == card.vin
    assert sum(reading.status == "ok" for reading in readings) >= 4


def test_drawing_needs_only_what_reading_needs_and_yaml():
    code = (
        "import sys; import vintraining.drawing.samples;"
        "print({'scipy', 'sklearn', 'pandas', 'matplotlib', 'tensorflow'} & set(sys.modules))"
    )
    assert run_code(code).stdout.strip() == "set()"


def test_nothing_of_worn_printed_lines_stays_beside_the_characters():
    for card in draw_cards(16):
        flawed = int(card.flaw.split()[1]) if card.flaw else 0
        for number, box in enumerate(card.boxes, start=1):
            if number == flawed:  # a blot holds no character
                continue
            ink = (boxes.normalise(box).pixels > 60).astype(np.uint8)
            pieces = cv2.connectedComponentsWithStats(ink)[2][1:]
            thin = pieces[:, 2:4].min(1) <= 2
            long = pieces[:, 2:4].max(1) >= 15
            assert len(pieces) == 1 or not (thin & long).any()


def test_the_same_seed_draws_the_same_cards(cards):
    again = draw_cards(2, seed=1981)
    assert [card.vin for card in again] == [card.vin for card in cards[:2]]
    for one, other in zip(again, cards, strict=False):
        assert one.field.tobytes() == other.field.tobytes()


def test_another_number_is_another_writer():
    sample = Sample("1M8GDM9AXKP042788")
    assert draw_card(sample, 1, 0).field.tobytes() != draw_card(sample, 1, 1).field.tobytes()


def test_what_is_no_vin_is_refused():
    with pytest.raises(ValueError, match="17 characters"):
        draw_card(Sample("1M8GDM9AXKP04278"))
    with pytest.raises(ValueError, match="at least 1"):
        draw_cards(0)


def run(*arguments):
    return run_alone(PROJECT, "vinreader", "samples", *arguments)


def test_the_command_writes_folders_and_truth_and_overwrites_nothing(tmp_path):
    folder = tmp_path / "input"
    first = run(folder, "--cards", 2)
    assert first.returncode == 0, first.stderr
    expected = [f"card-{card:02}/{box:02}.png" for card in (1, 2) for box in range(1, 18)]
    found = [path.relative_to(folder).as_posix() for path in folder.rglob("*.*")]
    assert sorted(found) == sorted([*expected, "truth.csv"])
    header, *rows = (folder / "truth.csv").read_text().splitlines()
    assert header == "card,vin,flaw"
    assert rows == [f"card-{n:02},{card.vin}," for n, card in enumerate(draw_cards(2), 1)]
    image = cv2.imread(str(folder / "card-01/01.png"), cv2.IMREAD_UNCHANGED)
    assert (image == draw_cards(1)[0].boxes[0]).all()

    whole = run(folder / "whole", "--cards", 1, "--whole")
    assert whole.returncode == 0, whole.stderr
    names = sorted(path.name for path in (folder / "whole").iterdir())
    assert names == ["card-01.png", "truth.csv"]

    (folder / "card-02/05.png").write_bytes(b"a scan of mine")
    again = run(folder, "--cards", 2, "--seed", 7)
    assert again.returncode == 1 and "card-01/01.png is there already" in again.stderr
    assert (folder / "card-02/05.png").read_bytes() == b"a scan of mine"
    assert (folder / "truth.csv").read_text().splitlines()[1:] == rows


def test_the_command_says_what_is_wrong(tmp_path):
    result = run(tmp_path, "--cards", 0)
    assert result.returncode == 1 and "count must be at least 1" in result.stderr
    assert "Traceback" not in result.stderr
