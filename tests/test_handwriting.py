"""The embedded handwriting: reproducible, writers kept apart, every form of a character drawn."""

import dataclasses

from vintraining.data import allographs, handwriting
from vintraining.data.allographs import SCHOOLS, load
from vintraining.data.handwriting import Writer, sheet, write

import cv2
import numpy as np
import pytest

from vinreader.spec import CHARACTERS, INDEX, SIDE

FORMS = [(character, form.name) for character in CHARACTERS for form in load()[character]]


@pytest.fixture(scope="module")
def written():
    return write(per_class=3, writers=2, seed=5, processes=1)


def test_shapes_types_and_ranges(written):
    images, labels, writers = written
    assert (images.shape, images.dtype) == ((99, SIDE, SIDE), np.uint8)
    assert (labels.shape, labels.dtype) == ((99,), np.uint8)
    assert (writers.shape, writers.dtype) == ((99,), np.int32)
    assert np.bincount(labels).tolist() == [3] * 33
    assert np.bincount(writers).tolist() == [66, 33]  # shared as evenly as it goes


def test_images_are_like_emnist(written):
    for image in written[0]:
        rows, columns = np.nonzero(image > 127)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 20 <= max(height, width) <= 26, "the longer side fills the image"
        assert abs(rows.min() + rows.max() - 27) <= 4, "centred"
        assert abs(columns.min() + columns.max() - 27) <= 4, "centred"
        assert image.max() > 200 and image[[0, -1]].max() < 128 and image[:, [0, -1]].max() < 128
        assert ((image > 20) & (image < 235)).sum() > 20, "edges are soft"
        assert 0.02 < (image > 127).mean() < 0.6


def test_another_side_shows_the_same_characters(monkeypatch, written):
    monkeypatch.setattr(handwriting, "SIDE", 2 * SIDE)
    images = write(per_class=3, writers=2, seed=5, processes=1)[0]
    assert images.shape == (99, 2 * SIDE, 2 * SIDE)
    shrunk = images.reshape(99, SIDE, 2, SIDE, 2).mean(axis=(2, 4))
    assert np.abs(shrunk - written[0]).mean() < 10


def test_same_seed_same_bytes_on_any_number_of_processes():
    alone = write(per_class=20, writers=20, seed=3, processes=1)
    together = write(per_class=20, writers=20, seed=3, processes=2)
    for one, other in zip(alone, together, strict=True):
        assert one.tobytes() == other.tobytes()


def test_populations_with_other_numbers_or_seeds_share_no_writer():
    train = write(2, 2, seed=1, processes=1)
    test = write(2, 2, seed=1, first_writer=2, processes=1)
    assert set(train[2]) == {0, 1} and set(test[2]) == {2, 3}
    other = write(2, 2, seed=2, processes=1)
    made = {image.tobytes() for images, *_ in (train, test, other) for image in images}
    assert len(made) == 3 * 66


def test_a_writer_writes_the_same_whoever_else_does(written):
    second = write(1, 1, seed=5, first_writer=1, processes=1)[0]
    assert (second == written[0][written[2] == 1]).all()


def test_a_larger_set_begins_with_the_same_characters_of_each_writer(written):
    images, _, writers = write(4, 2, seed=5, processes=1)
    for number in (0, 1):
        before = written[0][written[2] == number]
        assert (images[writers == number][: len(before)] == before).all()


@pytest.mark.parametrize(
    "wrong", [{"per_class": 0}, {"writers": 0}, {"seed": -1}, {"first_writer": -1}]
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match="at least"):
        write(**wrong)


def test_several_allographs_a_character():
    assert all(len(load()[character]) >= 5 for character in CHARACTERS)


@pytest.mark.parametrize(("character", "name"), FORMS)
def test_every_allograph_is_drawn(character, name):
    form = next(form for form in load()[character] if form.name == name)
    writer = Writer(1, 0, load() | {character: [form]})
    (image,) = writer.write(character)
    assert 15 < (image > 127).sum() < 450
    (strokes,) = writer.strokes(character)
    assert len(strokes) == len(form.strokes)


def test_a_page_has_room_for_so_many_characters():
    assert len(Writer(1, 0).write("7" * handwriting.PAGE)) == handwriting.PAGE
    for text in ("", "7" * (handwriting.PAGE + 1)):
        with pytest.raises(ValueError, match="a page holds"):
            Writer(1, 0).write(text)


def test_a_writer_goes_to_a_school_by_the_stated_shares():
    drawn = [Writer(1, number).school for number in range(1000)]
    for school, share in SCHOOLS.items():
        assert drawn.count(school) / len(drawn) == pytest.approx(share, abs=0.05)


def test_a_school_may_be_chosen():
    assert {school: Writer(1, 0, school=school).school for school in SCHOOLS}.items() == {
        (school, school) for school in SCHOOLS
    }
    writers = [Writer(1, 0, school=school) for school in SCHOOLS]
    assert len({writer.slant for writer in writers}) == 1, "all else stays"
    assert len({writer.write("1247AZ").tobytes() for writer in writers}) == len(SCHOOLS)
    with pytest.raises(ValueError, match="no school 'martian', only american"):
        Writer(1, 0, school="martian")


def _names(writer, character, count=1):
    """Names of the forms in which a writer writes a character so many times."""
    return [writer.forms[n].name for n in writer._choose(np.full(count, INDEX[character]))]


def _share(school, character, part):
    """How often writers of a school use a form of the character whose name contains `part`."""
    writers = [Writer(1, number, school=school) for number in range(150)]
    return np.mean([part in name for writer in writers for name in _names(writer, character, 8)])


@pytest.mark.parametrize("character", ["7", "Z"])
def test_central_europeans_bar_the_7_and_the_z(character):
    assert _share("european", character, "bar") > 0.5 > 0.3 > _share("american", character, "bar")


@pytest.mark.parametrize("character", ["H", "K", "X", "A", "M", "Y"])
def test_the_cyrillic_school_writes_its_own_forms(character):
    taught = [f.name for f in load()[character] if np.flatnonzero(f.weights).tolist() == [3]]
    assert taught and list(SCHOOLS)[3] == "cyrillic"

    def share(school):
        written = [_names(Writer(1, n, school=school), character, 4) for n in range(60)]
        return np.isin(np.concatenate(written), taught).mean()

    assert share("cyrillic") > 0.5 > 0.1 > share("american")


def test_a_school_makes_forms_go_together():
    stroke = {True: [], False: []}
    for number in range(600):
        writer = Writer(1, number)
        barred = "bar" in _names(writer, "7")[0]
        stroke[barred].append(_names(writer, "1")[0] in ("bar", "bowed bar"))
    assert np.mean(stroke[True]) < 0.7 * np.mean(stroke[False])


def test_forms_of_another_school_are_borrowed_now_and_then():
    assert 0 < _share("american", "1", "caret") < 0.1 < _share("european", "1", "caret")


def test_a_smooth_stroke_runs_through_its_points():
    form = allographs._allograph({"bow": {"weight": 1, "strokes": ["0,0 30,50! 0,100 50,80"]}})
    for way in form.paths[:2]:
        path = way @ form.points
        assert np.allclose(path[:: allographs.DENSITY], form.points)


def test_only_a_hasty_pen_rounds_a_corner():
    form = allographs._allograph({"vee": {"weight": 1, "strokes": ["0,0 30,100! 60,0"]}})
    straight, smooth, hasty = (way @ form.points for way in form.paths)
    assert straight[:, 1].max() == pytest.approx(100) == smooth[:, 1].max()
    assert 50 < hasty[:, 1].max() < 95
    assert np.allclose(hasty[[0, -1]], form.points[[0, -1]])


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ('[{plain: {weight: 1, strokes: ["4,4 x,3"]}}]', "cannot read the stroke '4,4 x,3'"),
        ('[{plain: {weight: 1, strokes: ["4,4"]}}]', "at least two points"),
        ('[{plain: {weight: 1, strokes: ["4,4 4,4"]}}]', "same point twice"),
        ('[{plain: {weight: 1, strokes: ["4,4 900,4"]}}]', "leaves the paper"),
        ('[{plain: {weight: 0, strokes: ["4,4 9,9"]}}]', "weight above 0"),
        ('[{plain: {weight: x, strokes: ["4,4 9,9"]}}]', "weight above 0"),
        ('[{plain: {weight: {}, strokes: ["4,4 9,9"]}}]', "weight above 0"),
        ('[{plain: {weight: {soviet: 0}, strokes: ["4,4 9,9"]}}]', "weight above 0"),
        ('[{plain: {weight: {swiss: 1}, strokes: ["4,4 9,9"]}}]', "no school 'swiss', only"),
        (
            '[{plain: {weight: {soviet: 1, european: 1}, strokes: ["4,4 9,9"]}}]',
            "no allograph with a weight in the american school",
        ),
        ("[{plain: {weight: 1, strokes: []}}]", "at least one stroke"),
        ('[{plain: {strokes: ["4,4 9,9"]}}]', "expected '- name:"),
        ("[]", "no allograph"),
        ("plain", "expected '- name:"),
        (
            '[{a: {weight: 1, strokes: ["4,4 9,9"]}}, {a: {weight: 1, strokes: ["4,4 9,9"]}}]',
            "two allographs named 'a'",
        ),
    ],
)
def test_a_broken_file_names_the_character(tmp_path, broken, problem):
    lines = allographs.ALLOGRAPHS.read_text(encoding="utf-8").split('\n"7":')[0]
    path = tmp_path / "broken.yaml"
    path.write_text(f'{lines}\n"7": {broken}\n', encoding="utf-8")
    with pytest.raises(ValueError, match="character '7'") as error:
        load(path)
    assert problem in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('"7": [{plain', "line 1"),
        ('O: [{oval: {weight: 1, strokes: ["4,4 16,3"]}}]', "'O' is not a VIN character"),
    ],
)
def test_a_file_that_is_no_yaml_or_of_other_characters_is_refused(tmp_path, content, problem):
    path = tmp_path / "broken.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ValueError, match=problem):
        load(path)


def test_sheet_shows_a_row_a_writer_and_a_column_a_character_school_by_school(tmp_path):
    sheet(tmp_path / "sheet.png", writers=2, seed=5)
    picture = cv2.imread(str(tmp_path / "sheet.png"), cv2.IMREAD_GRAYSCALE)
    band = 2 * SIDE + 2 * handwriting.GAP
    assert picture.shape == (len(SCHOOLS) * band, handwriting.NAME_WIDTH + 33 * SIDE)
    names = picture[:, : handwriting.NAME_WIDTH].reshape(len(SCHOOLS), band, -1)
    assert (names.min(axis=(1, 2)) < 60).all(), "every school is named"
    assert len({name.tobytes() for name in names}) == len(SCHOOLS)
    last = Writer(5, 2 * len(SCHOOLS) - 1, school=list(SCHOOLS)[-1]).write(CHARACTERS)
    assert (picture[-handwriting.GAP - SIDE : -handwriting.GAP, -SIDE:] == 255 - last[-1]).all()


def test_allographs_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        load()["7"][0].weights = ()
