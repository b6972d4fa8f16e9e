"""Characters on paper: the same from the same seed, nothing where nothing is asked for."""

from dataclasses import replace

from vintraining.data import handwriting
from vintraining.drawing.disturbances import DISTURBANCES
from vintraining.drawing.paper import Scan, decent_scan, scan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

BLANK = np.zeros((28, 28), np.uint8)
FAITHFUL = Scan(scale=1, room=1, paper=255, ink=255)
HARDLY = {"ink": 159.9, "paper": 215.1, "blur": 0.05, "jpeg": 100} | dict.fromkeys(
    ("shift", "rotation", "border", "shading", "texture", "noise"), 1e-3
)
EVERY = [(n, s) for n, told in DISTURBANCES.items() for s in (*told.decent, *told.beyond)]


@pytest.fixture(scope="module")
def characters() -> np.ndarray:
    """uint8 (66, 28, 28)."""
    return handwriting.write(2, writers=2, seed=5, processes=1)[0]


def drawn(characters, how, row=8, seed=3):
    return scan(characters[row], how, np.random.default_rng(seed), characters)


def test_a_character_on_white_paper_is_its_own_negative(characters):
    for row in range(33):
        assert np.array_equal(drawn(characters, FAITHFUL, row), 255 - characters[row])


def test_what_is_off_draws_no_random_numbers(characters):
    rng = np.random.default_rng(1)
    scan(characters[0], Scan(), rng)
    assert rng.random() == np.random.default_rng(1).random()


@pytest.mark.parametrize(("name", "strength"), EVERY)
def test_each_disturbance_follows_from_the_generator_and_changes_the_scan(
    characters, name, strength
):
    how = DISTURBANCES[name].at(strength)
    first, again = (drawn(characters, how) for _ in range(2))
    assert first.dtype == np.uint8 and first.ndim == 2
    assert np.array_equal(first, again)
    clean = drawn(characters, Scan())
    same = first.shape == clean.shape and np.array_equal(first, clean)
    assert same == (how == Scan())
    height = 28 * how.scale * how.room
    assert abs(len(first) - height) <= 1
    assert abs(first.shape[1] - height * (1 + 2 * how.neighbours)) <= 2


@pytest.mark.parametrize("name", HARDLY)
def test_a_disturbance_of_almost_no_strength_changes_almost_nothing(characters, name):
    hardly = drawn(characters, replace(Scan(), **{name: HARDLY[name]}))
    clean = drawn(characters, Scan())
    assert np.abs(hardly.astype(int) - clean).max() <= (2 if name == "jpeg" else 1)


def test_a_stronger_disturbance_is_the_same_one_stronger(characters):
    """The same generator puts the line on the same side, so that strengths can be compared."""
    thin, thick = (drawn(characters, Scan(border=t, sides=1)) < 180 for t in (2, 6))
    assert thick.sum() > thin.sum() and (thick | ~thin).mean() > 0.99
    weak, strong = (drawn(characters, Scan(noise=n)).astype(float) for n in (2, 8))
    clean = drawn(characters, Scan()).astype(float)
    assert np.corrcoef((weak - clean).ravel(), (strong - clean).ravel())[0, 1] > 0.95


def test_each_parameter_does_what_it_says(characters):
    clean = drawn(characters, Scan()).astype(int)
    assert clean.max() == 215 and abs(clean.min() - (215 - 160)) <= 2
    assert drawn(characters, Scan(ink=60)).min() >= 215 - 60
    assert np.array_equal(drawn(characters, Scan(inverted=True)), 255 - clean)
    assert drawn(characters, Scan(scale=0.5)).shape == (18, 18)
    noise = drawn(characters, Scan(noise=10)) - clean
    assert 8 < noise.std() < 11
    shaded = drawn(characters, Scan(shading=60)) - clean
    paper = clean == 215
    assert 30 < np.ptp(shaded[paper]) < 90 and shaded[paper].max() <= 15
    blurred = drawn(characters, Scan(blur=2)).astype(int)
    assert np.abs(np.diff(blurred)).max() < np.abs(np.diff(clean)).max()
    jpeg = [np.abs(drawn(characters, Scan(jpeg=q)) - clean).mean() for q in (90, 10)]
    assert 0 < jpeg[0] < jpeg[1]


@pytest.mark.parametrize("sides", [1, 2, 3, 4])
def test_a_border_stands_on_so_many_sides_and_is_so_thick(sides):
    for seed in range(10):
        how = Scan(border=3, sides=sides)
        image = scan(BLANK, how, np.random.default_rng(seed))
        ink = (215.0 - image) / (215.0 - image).max()
        edges = [np.rot90(ink, turn)[:10, 30:40].sum(axis=0).mean() for turn in range(4)]
        assert sum(edge > 0.2 for edge in edges) == sides
        assert max(edges) == pytest.approx(3, abs=0.3)
        assert not ink[12:-12, 12:-12].any()


@pytest.mark.parametrize("depth", [0, 3])
def test_the_ink_reaches_so_far_into_the_line(depth):
    """Seen where ink and line do not cover each other completely: light goes down twice."""
    character = np.zeros((28, 28), np.uint8)
    character[2:26, 2:26] = 255
    for seed in range(10):
        how = Scan(border=4, sides=1, touching=depth)
        image = scan(character, how, np.random.default_rng(seed))
        both = (image < (215 - 160) * 0.8).sum() / 48  # rows that are covered by both
        assert abs(both - depth) <= 1.25


def test_a_broken_border_lacks_its_share(characters):
    def printed(broken):
        how = Scan(scale=4, border=4, sides=4, broken=broken)
        images = [scan(BLANK, how, np.random.default_rng(seed)) for seed in range(12)]
        return sum((215.0 - image).sum() for image in images)

    whole = printed(0)
    for share in (0.2, 0.5, 0.8):
        assert printed(share) / whole == pytest.approx(1 - share, abs=0.1)


def test_neighbours_stand_outside_the_box_or_reach_into_it(characters):
    rng = np.random.default_rng
    plain = scan(BLANK, Scan(), rng(0), characters)
    reaching = [scan(BLANK, Scan(strokes=0.1), rng(seed), characters) for seed in range(20)]
    for image in reaching:
        columns = np.flatnonzero((image < 180).any(axis=0))
        assert image.shape == plain.shape and 0 < len(columns) <= 11
        assert columns[0] == 0 or columns[-1] == image.shape[1] - 1
    wide = scan(BLANK, Scan(border=2, neighbours=1), rng(1), characters)
    assert wide.shape == (70, 210)
    dark = wide < 180
    assert dark[20:50, 20:60].any() and dark[20:50, -60:-20].any()
    assert not dark[20:50, 80:130].any()


@given(seed=st.integers(0, 2**32 - 1))
def test_a_decent_scan_can_be_drawn_whatever_the_seed(characters, seed):
    rng = np.random.default_rng(seed)
    how = decent_scan(rng)
    image = scan(characters[seed % 66], how, rng, characters)
    assert image.dtype == np.uint8 and min(image.shape) >= 22
    assert np.ptp(image.astype(int)) >= 30
