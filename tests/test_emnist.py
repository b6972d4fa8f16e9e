"""NIST's files: the IDX format, the mapping, the orientation."""

import gzip
import zipfile

from vintraining.data import emnist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

shapes = st.one_of(
    hnp.array_shapes(min_dims=1, max_dims=1), hnp.array_shapes(min_dims=3, max_dims=3)
)


@given(hnp.arrays(np.uint8, shapes))
def test_idx_round_trip(array):
    assert np.array_equal(emnist.decode_idx(emnist.encode_idx(array)), array)


def test_idx_bytes_are_the_same_for_the_same_array():
    array = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    assert emnist.encode_idx(array) == emnist.encode_idx(array.copy())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"plain text", "damaged gzip"),
        (emnist.encode_idx(np.zeros((2, 28, 28), np.uint8))[:-9], "damaged gzip"),
        (
            gzip.compress(b"\x00\x00\x0d\x01\x00\x00\x00\x01\x00\x00\x00\x00"),
            "not an IDX file of bytes",
        ),
        (gzip.compress(b"\x00\x00\x08\x03\x00\x00"), "ends within its header"),
        (gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05abc"), "header says 5"),
        (gzip.compress(b""), "not an IDX file"),
    ],
    ids=["text", "cut off", "wrong type", "half a header", "too short", "empty"],
)
def test_damaged_idx_is_refused_by_name(data, says):
    with pytest.raises(emnist.EmnistError, match=f"x.gz: .*{says}"):
        emnist.decode_idx(data, "x.gz")


@pytest.mark.parametrize(
    ("says", "texts"),
    [
        (None, ["", "0 48\n0 49\n", "0\n", "zero 48\n"]),
        ("line 1", ["256 48\n", "-1 48\n", "0 256\n", "0 -1\n", "\ufffd 48\n"]),
    ],
)
def test_a_mapping_that_is_damaged_or_holds_more_than_bytes_is_refused(says, texts):
    for text in texts:
        with pytest.raises(emnist.EmnistError, match=says):
            emnist.parse_mapping(text)


@pytest.mark.parametrize("split", ["balanced", "byclass"])
def test_our_mapping_is_the_archives(archive, split):
    with zipfile.ZipFile(archive) as file:
        theirs = file.read(f"gzip/{emnist.mapping_member(split)}").decode()
    assert emnist.parse_mapping(emnist.mapping_text(split)) == emnist.parse_mapping(theirs)


def test_turning_twice_is_nothing_and_once_is_a_transpose():
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    assert np.array_equal(emnist.turned(emnist.turned(images)), images)
    assert np.array_equal(emnist.turned(images)[1], images[1].T)
