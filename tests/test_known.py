"""Numbers an archive already has, and cards alike."""

import itertools
import time
import tracemalloc

import numpy as np
import pytest

from conftest import reading
from vinreader.number import decoding, known
from vinreader.options import OPTIONS
from vinreader.spec import CHARACTERS, INDEX, UserError

NUMBER = "WVWZZZ1JZ3W386752"


def changed(number, *changes):
    for position, character in changes:
        number = number[: position - 1] + character + number[position:]
    return number


def test_the_command_tells_the_rate():
    assert f"(default: {known.RATE})" in OPTIONS["--known-rate"]["help"]


def recognised(released, logs, *vins, rate=known.RATE):
    listed = known.Known.of(known.codes(vins), rate)
    return known.recognise(listed, released, decoding.decode(released, logs), logs)


def test_a_doubtful_digit_is_read_as_the_known_number_has_it(released):
    logs = reading(NUMBER, [(16, "1", 0.6)], sure=0.999)
    plain = decoding.decode(released, logs)
    assert plain.vin[15] == "1"
    found, note = recognised(released, logs, NUMBER)
    assert (found.vin, note) == (NUMBER, "in the list of known numbers")
    assert found.confidence > 0.99
    assert [str(change) for change in found.changed] == ["box 16: 1 -> 5 (known number)"]


def test_a_clear_number_outside_the_list_stays_and_its_neighbours_are_told(released):
    one, two = changed(NUMBER, (15, "1")), changed(NUMBER, (7, "9"), (17, "3"))
    far = changed(NUMBER, (15, "1"), (16, "1"), (17, "1"))
    logs = reading(NUMBER, sure=0.99999)
    found, note = recognised(released, logs, one, two, far)
    assert found.vin == NUMBER and found.confidence > 0.9
    assert note == (
        f"known number {one} differs in box 15; known number {two} differs in boxes 7 and 17"
    )
    assert recognised(released, logs, far)[1] == ""


def test_the_rate_of_a_known_number_is_the_strength(released):
    logs = reading(NUMBER, [(16, "1", 0.9)], sure=0.999)
    found = [recognised(released, logs, NUMBER, rate=rate)[0] for rate in (0, 1e-15, 1e-8)]
    assert [one.vin == NUMBER for one in found] == [False, False, True]
    assert found[0].confidence == pytest.approx(decoding.decode(released, logs).confidence)


def test_the_probability_is_that_of_the_mixed_prior(released):
    """Against every number that the doubts allow, one by one."""
    doubts = [(12, "8", 0.3), (15, "1", 0.5), (16, "3", 0.45), (5, "2", 0.1)]
    logs = reading(NUMBER, doubts, sure=1 - 1e-12)
    listed = (changed(NUMBER, (15, "1"), (16, "3")), changed(NUMBER, (5, "2")))
    choices = [[c] for c in NUMBER]
    for position, character, _ in doubts:
        choices[position - 1].append(character)
    rate, weights = 1e-9, {}
    boxes = (1 - released.stray) * np.exp(logs) + released.stray / 33
    for vin in map("".join, itertools.product(*choices)):
        indices = np.array([[INDEX[c] for c in vin]])
        by_statistics = np.exp(released.log_probabilities(indices).sum())
        weights[vin] = np.prod(boxes[np.arange(17), indices[0]]) * (
            (1 - 2 * rate) * by_statistics + rate * (vin in listed)
        )
    found, _ = recognised(released, logs, *listed, rate=rate)
    best = max(weights, key=weights.get)
    assert found.vin == best
    assert found.confidence == pytest.approx(weights[best] / sum(weights.values()), abs=1e-3)


OTHER = "1M8GDM9AXKP042788"
ROWS = [
    ("Owner", "VIN"),
    ("Anna", NUMBER),
    ("Борис", OTHER.lower()),
    ("C", f" {NUMBER[:3]} {NUMBER[3:9]}\u00a0{NUMBER[9:-1]}3 "),
    ("D", "123"),
    ("E", ""),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("first", ["", "sep"])
def test_what_spreadsheets_write_is_read_and_what_was_not_used_is_told(
    tmp_path, encoding, separator, first
):
    lines = [separator.join(row) for row in ROWS]
    text = "\r\n".join([f"sep={separator}", *lines] if first else lines)
    path = tmp_path / "register.csv"
    path.write_bytes((text + "\r\n").encode(encoding))
    found = known.Known.read(path)
    listed = {NUMBER, OTHER, changed(NUMBER, (17, "3"))}
    assert {"".join(CHARACTERS[c] for c in row) for row in found.numbers} == listed
    assert found.summary() == (
        "3 known numbers; 1 rows are no number of 17 characters and were not used: row 5: '123'"
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f"{NUMBER}\n{OTHER}\n", "2 known numbers"),
        (f"1;{NUMBER};x\n2;{OTHER};y\n", "2 known numbers"),
        (
            "\n".join(["vin", NUMBER, *"ABCDE"]),
            "1 known numbers; 5 rows are no number of 17 characters and were not used: "
            "row 3: 'A', row 4: 'B', row 5: 'C', ...",
        ),
    ],
    ids=["no header", "another column", "many rows that are none"],
)
def test_a_list_of_any_form_is_read_and_told(tmp_path, text, says):
    path = tmp_path / "list.txt"
    path.write_text(text)
    assert known.Known.read(path).summary() == says


def test_an_empty_box_stays_empty_though_a_known_number_fits(released):
    logs = reading(NUMBER, sure=0.999)
    logs[15] = 0
    empty = np.arange(17)[None] == 15
    (found,) = decoding.decode_batch(released, logs[None], empty=empty)
    listed = known.Known.of(known.codes([NUMBER]))
    found, note = known.recognise(listed, released, found, logs)
    assert found.vin == changed(NUMBER, (16, "-"))
    assert note == f"known number {NUMBER} differs in box 16"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"PK\x03\x04\0\0", "save it as CSV"),
        (b"\0", "save it as CSV"),
        *((text, r"known\.csv") for text in (b"", b"vin\n123\n", b"\xff\xfe", b"owner\nA\n")),
        (None, r"known\.csv"),
    ],
)
def test_a_file_without_numbers_is_refused(tmp_path, content, says):
    path = tmp_path / "known.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=says):
        known.Known.read(path)


def test_a_large_register_is_read_and_searched_quickly_in_little_memory(tmp_path):
    rng = np.random.default_rng(0)
    letters = rng.integers(0, 33, (200_000, 17))
    letters[:, :8] = letters[:50, :8].repeat(4000, axis=0)  # few makers and models
    vins = ["".join(CHARACTERS[c] for c in row) for row in letters.tolist()]
    path = tmp_path / "register.csv"
    path.write_text("vin\n" + "\n".join(vins))
    begin = time.process_time()
    found = known.Known.read(path)
    assert time.process_time() - begin < 30  # a search row by row takes minutes
    held = sum(array.nbytes for array in (found.numbers, *found.keys, *found.orders))
    assert held < 50 * len(found.numbers)
    begin = time.process_time()
    for row in found.numbers[:200]:
        other = row.copy()
        other[[2, 16]] = (other[[2, 16]] + 1) % 33
        assert (found.numbers[found.near(other)] == row).all(axis=1).any()
    assert time.process_time() - begin < 10


def test_near_numbers_are_all_found():
    rng = np.random.default_rng(1)
    listed = rng.integers(0, 3, (3000, 17)).astype(np.uint8)
    found = known.Known.of(np.unique(listed, axis=0))
    for number in rng.integers(0, 3, (40, 17)).astype(np.uint8):
        apart = (found.numbers != number).sum(axis=1)
        assert set(found.near(number).tolist()) == set(np.flatnonzero(apart <= 2).tolist())


def test_cards_alike_are_found_and_named():
    one, two = changed(NUMBER, (17, "3")), changed(NUMBER, (1, "2"), (2, "2"))
    found = known.alike([NUMBER, "X", one, NUMBER, two, ""])
    assert found == {0: [(3, 0), (2, 17)], 3: [(0, 0), (2, 17)], 2: [(0, 17)]}
    assert known.note_alike([("a/3", 0), ("b", 17)]) == "same number as a/3; like b but for box 17"
    assert known.alike([]) == known.alike([NUMBER]) == {}


def test_alike_against_every_pair():
    rng = np.random.default_rng(2)
    made = rng.integers(0, 2, (150, 17))
    made[:, 6:] = made[0, 6:]
    vins = ["".join(CHARACTERS[c] for c in row) for row in made.tolist()]
    found = known.alike(vins)
    apart = (made[:, None] != made).sum(axis=2)
    for i in range(150):
        assert bool(found.get(i)) == (np.delete(apart[i], i) <= 1).any()
        for j, box in found.get(i, []):
            assert i != j and apart[i, j] == (box > 0)


def test_many_cards_alike_take_little_memory():
    vins = [NUMBER] * 20_000 + [f"1M8GDM9AX{i:08}" for i in range(20_000)]
    tracemalloc.start()
    found = known.alike(vins)
    assert len(found[0]) == 3
    assert tracemalloc.get_traced_memory()[1] < 150e6
    tracemalloc.stop()
