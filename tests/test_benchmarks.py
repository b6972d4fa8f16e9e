"""Benchmarks whose figures the documents give: on hands that were drawn for the test."""

from vintraining.data import handwriting

import hands
import numpy as np
import one_pen
import pytest

from conftest import PROJECT, run_alone, save_labelled
from vinreader.reader import Reader
from vinreader.spec import CHARACTERS, UserError

NUMBERS = ("WBAVA31070NL12345", "TMBJJ7NE8E0123456", "VF1LM1B0H36123456", "XTA210990Y1234567")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two writers, of two laboratories, who each wrote every character twice."""
    images, labels, writers = handwriting.write(4, writers=2)
    names = [f"lab{writer % 2}-{writer}" for writer in writers]
    return save_labelled(tmp_path_factory.mktemp("labelled") / "drawn", images, labels, names)


def run(name, *arguments):
    result = run_alone(PROJECT, f"../benchmarks/{name}", *arguments)
    return result.returncode, result.stdout, result.stderr


def test_writers_and_laboratories_can_be_chosen(folder):
    both, one = hands.read(folder), hands.read(folder, ["lab0"])
    names = {box.writer for box in both}
    assert len(names) == 2 and len(both) == 4 * len(CHARACTERS)
    assert {box.writer for box in one} == {name for name in names if name.startswith("lab0-")}
    assert hands.read(folder, list(names)) and len(hands.read(folder, names)) == len(both)
    with pytest.raises(UserError, match="lab7"):
        hands.read(folder, ["lab7"])


def test_writers_that_a_reader_learned_from_are_not_tested_on():
    reader = Reader()
    reader.description = {
        "labelled": {
            "trained": {"parts": {"train": {"names": ["a"]}, "test": {"names": ["b"]}}},
            "no test": {"parts": {"train": {"names": ["a"]}}},
            "tested": {"parts": {"test": {"names": ["c"]}}},
        }
    }
    assert hands.held_out(reader, "trained") == {"b"}
    assert hands.held_out(reader, "no test") == set()
    assert hands.held_out(reader, "tested") is None  # all of them
    assert hands.held_out(reader, "unknown") is None


def test_an_interval_is_wider_where_errors_come_by_writers():
    wrong = np.arange(1000) % 10 == 0
    every = np.ones(1000, bool)
    apart = hands.share([str(n) for n in range(1000)], wrong, every)
    assert apart == "10.0% (8.2% to 12.0%)"  # Clopper and Pearson
    of_one_in_ten = hands.share([str(n % 10) for n in range(1000)], wrong, every)
    assert of_one_in_ten == "10.0% (0.0% to 30.0%)"
    assert hands.share(["a", "b"] * 50, every[:100] & False, every[:100]) == "0.0% (0.0% to 3.6%)"


def test_a_card_by_one_pen_shows_no_image_twice_while_there_are_others():
    pen = {c: [np.full((1, 1), n), np.full((1, 1), n + 1)] for n, c in enumerate("AB0123", 10)}
    drawn = one_pen.draw("AAAB0", pen, np.random.default_rng(0))
    assert sorted(int(image[0, 0]) for image in drawn[:2]) == [10, 11]
    assert [int(image[0, 0]) in (10 + at, 11 + at) for at, image in ((0, drawn[2]), (1, drawn[3]))]


def test_whole_cards_by_one_pen_are_read_and_counted(folder, tmp_path):
    (tmp_path / "numbers.csv").write_text("vin\n" + "\n".join(NUMBERS) + "\n")
    some = ("--numbers", tmp_path, "--cards", "8", "--least", "20")
    code, out, problem = run("one_pen.py", folder, *some)
    assert code == 0, problem
    assert out.splitlines()[-1].startswith("| drawn: 8 by 2 writers |")
    code, _, problem = run("one_pen.py", folder, *some, "--groups", "china")
    assert code == 1 and problem.endswith("one_pen: no number of these groups\n")


def test_a_model_is_scored_on_a_labelled_folder(folder):
    code, out, problem = run("score_model.py", folder)
    assert code == 0, problem
    row = out.splitlines()[-1].split(" | ")
    assert row[0] == "| drawn" and row[1] == "132"
    assert float(row[2].split("%")[0]) > 80
