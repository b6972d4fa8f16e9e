"""Mislabelled test characters: the list is sound, and exactly what it names is left out."""

import csv
import re

from vintraining.data.dataset import Characters
from vintraining.scores import truth

import numpy as np
import pytest

from vinreader.files import sha256
from vinreader.spec import CHARACTERS


@pytest.fixture
def characters() -> Characters:
    rng = np.random.default_rng(4)
    images = rng.integers(0, 256, (5, 28, 28), np.uint8)
    return Characters(images, np.arange(5, dtype=np.uint8))


def listing(monkeypatch, tmp_path, images) -> None:
    path = tmp_path / "mislabelled.csv"
    rows = "".join(f"{sha256(image.tobytes())},test,A,4\n" for image in images)
    path.write_text("sha256,set,labelled,seen\n" + rows, "utf-8")
    monkeypatch.setattr(truth, "LIST", path)
    monkeypatch.setattr(truth, "mislabelled", truth.mislabelled.__wrapped__)


def test_each_line_names_one_image_and_two_different_characters():
    with truth.LIST.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["sha256", "set", "labelled", "seen"]
    for row in rows:
        assert re.fullmatch("[0-9a-f]{64}", row["sha256"]), row
        assert row["labelled"] in tuple(CHARACTERS) and row["seen"] in tuple(CHARACTERS), row
        assert row["labelled"] != row["seen"], row
    assert truth.mislabelled() == {row["sha256"] for row in rows}
    assert len(truth.mislabelled()) == len(rows), "an image stands twice"


def test_listed_images_are_left_out_and_counted_and_the_others_keep_their_order(
    monkeypatch, tmp_path, characters
):
    listing(monkeypatch, tmp_path, characters.images[[3, 1]])
    right, left_out = truth.without(characters)
    assert left_out == 2
    assert right.labels.tolist() == [0, 2, 4]
    assert (right.images == characters.images[[0, 2, 4]]).all()


def test_one_pixel_more_or_less_is_another_image(monkeypatch, tmp_path, characters):
    other = characters.images[:1].copy()
    other[0, 14, 14] ^= 1
    listing(monkeypatch, tmp_path, other)
    assert truth.without(characters)[1] == 0


def test_images_that_are_not_listed_and_no_images_stay_as_they_are(characters):
    assert truth.without(characters)[0].labels.tolist() == characters.labels.tolist()
    right, left_out = truth.without(characters[np.arange(0)])
    assert (len(right), left_out, right.images.shape) == (0, 0, (0, 28, 28))
