"""Mislabelled test characters: the list is sound, and exactly what it names is wrong."""

import csv
import re

from vintraining.scores import truth

import numpy as np
import pytest

from vinreader.files import sha256
from vinreader.spec import CHARACTERS


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (5, 28, 28), np.uint8)


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


def test_listed_images_are_found_and_no_others(monkeypatch, tmp_path, images):
    assert not truth.is_wrong(images).any()
    listing(monkeypatch, tmp_path, images[[3, 1]])
    assert truth.is_wrong(images).tolist() == [False, True, False, True, False]
    assert truth.is_wrong(images[:0]).tolist() == []


def test_one_pixel_more_or_less_is_another_image(monkeypatch, tmp_path, images):
    other = images[:1].copy()
    other[0, 14, 14] ^= 1
    listing(monkeypatch, tmp_path, other)
    assert not truth.is_wrong(images).any()
