"""Properties that hold for any input, tried with many: numbers, IDX files, boxes, tables."""

import csv
import gzip
import itertools
import json
import tempfile
from contextlib import ExitStack
from pathlib import Path

from vintraining.data import emnist

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vinreader.files import Csv
from vinreader.image.boxes import normalise
from vinreader.number import decoding, vin
from vinreader.number import prior as numbers
from vinreader.reader import RELEASED
from vinreader.spec import CHARACTERS, SIDE
from vinreader.tables import printable, read_table

PRIOR = numbers.build(json.loads(RELEASED.with_name(numbers.FILE).read_text("utf-8")))

# 49 CFR 565.15, table III, written down once more.
VALUES = dict(zip(CHARACTERS, map(int, "012345678912345678123457923456789"), strict=True))
WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
text = st.text(CHARACTERS, min_size=17, max_size=17)


@given(text)
def test_the_check_digit_is_the_one_of_the_regulation(number):
    total = sum(VALUES[c] * weight for c, weight in zip(number, WEIGHTS, strict=True))
    assert vin.check_digit(number) == "0123456789X"[total % 11]


@settings(max_examples=15)
@given(
    text, st.lists(st.integers(0, 16), min_size=1, max_size=3, unique=True), st.integers(0, 2**32)
)
def test_decoding_with_few_doubtful_boxes_is_the_best_of_all_numbers(number, places, seed):
    """Two or three candidates in some boxes, all others clear: every number is tried."""
    rng = np.random.default_rng(seed)
    logs = np.full((17, 33), -60.0)
    candidates = []
    for place, character in enumerate(number):
        chosen = {CHARACTERS.index(character)}
        if place in places:
            chosen |= set(rng.choice(33, 2, replace=False).tolist())
        logs[place, list(chosen)] = np.log(rng.dirichlet(np.full(len(chosen), 2.0)))
        candidates.append(sorted(chosen))
    boxes = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    tried = np.array(list(itertools.product(*candidates)))
    plain = boxes[np.arange(17), tried].prod(axis=1)
    best = "".join(CHARACTERS[c] for c in tried[plain.argmax()])
    read = decoding.decode(PRIOR, logs, "none")
    assert read.vin == read.raw == best

    def weight(numbers: np.ndarray) -> np.ndarray:
        certain = (1 - PRIOR.stray) * boxes + PRIOR.stray / 33
        likelihood = np.log(certain[np.arange(17), numbers]).sum(axis=1)
        return likelihood + PRIOR.log_probabilities(numbers).sum(axis=1)

    decoded = decoding.decode(PRIOR, logs)
    found = np.array([[CHARACTERS.index(c) for c in decoded.vin]])
    assert weight(found)[0] >= weight(tried).max() - 1e-6
    assert decoded.raw == best and 0 <= decoded.confidence <= 1
    changed = {change.position - 1 for change in decoded.changed}
    assert changed == {i for i in range(17) if decoded.vin[i] != best[i]}


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=9)), st.data())
def test_no_damage_to_an_idx_file_goes_unnoticed_or_unexplained(array, data):
    stored = bytearray(gzip.decompress(emnist.encode_idx(array)))
    at = data.draw(st.integers(0, 3 + 4 * array.ndim))
    stored[at] ^= data.draw(st.integers(1, 255))  # in the header: type, dimensions, sizes
    try:
        read = emnist.decode_idx(gzip.compress(bytes(stored)), "x.gz")
    except emnist.EmnistError as error:
        assert "x.gz" in str(error)
    else:  # another shape of the same number of bytes, which includes none
        assert read.size == len(stored) - (4 + 4 * read.ndim)


@given(hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=60)))
def test_any_image_ends_in_a_box(image):
    box = normalise(image)
    assert box.pixels.shape == (SIDE, SIDE) and box.pixels.dtype == np.uint8
    assert box.blank == (not box.pixels.any())


names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1)


@given(st.lists(names, min_size=1, max_size=5))
def test_names_come_back_from_a_table_and_start_no_formula(paths):
    with tempfile.TemporaryDirectory() as place:
        table = Path(place, "x.csv")
        with ExitStack() as stack:
            Csv(table, ("path",), stack).write([printable(p)] for p in paths)
        with table.open(newline="", encoding="utf-8") as file:
            _, *read = [row[0] for row in csv.reader(file)]
        assert [row["path"] for _, row in read_table(table, ("path",))] == read
    assert [cell.removeprefix("./") for cell in read] == [p.removeprefix("./") for p in paths]
    assert not [cell for cell in read if cell[0] in "=+-@\t\r\n"]
