"""Labelled folders: what a labels.csv may say, and that no writer, card or image is in two sets."""

from itertools import chain
from pathlib import Path

from vintraining.data import dataset, handwriting
from vintraining.hands import labelled
from vintraining.parameters import LabelledFolder, load

import cv2
import numpy as np
import pytest

from conftest import PROJECT, pixels
from vinreader.image.boxes import normalise
from vinreader.spec import CHARACTERS, INDEX

FINETUNE = load(PROJECT / "params.yaml").finetune


@pytest.fixture(scope="module")
def boxes() -> list[tuple[str, np.ndarray]]:
    """Characters and images of boxes, dark ink on paper, two of each character."""
    images, labels, _ = handwriting.write(per_class=2, writers=4, seed=9)
    scans = [
        255 - cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC) // 2 for image in images
    ]
    return [(CHARACTERS[label], scan) for label, scan in zip(labels, scans, strict=True)]


def put(folder: Path, lines: list[str], images: dict[str, np.ndarray]) -> Path:
    (folder / "images").mkdir(parents=True)
    for name, image in images.items():
        assert cv2.imwrite(str(folder / "images" / name), image)
    (folder / "labels.csv").write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def put_writers(root: Path, boxes, writers: int) -> Path:
    """A folder whose writer w0, w1 ... wrote every so-manieth image."""
    lines = ["file,character,writer,note"]
    lines += [f"{at}.png,{c},w{at % writers},x" for at, (c, _) in enumerate(boxes)]
    return put(root, lines, {f"{at}.png": image for at, (_, image) in enumerate(boxes)})


def read(root: Path, seen: set[bytes] | None = None, **how: int) -> dict[str, labelled.Labelled]:
    trained_on = {"hands": LabelledFolder(**how)} if how else {}
    finetune = FINETUNE.model_copy(update={"labelled": trained_on})
    found = labelled.read_all(finetune, seen or set(), root, root.parent / "checked")
    return {folder.name: folder for folder in found}


def test_no_folder_is_no_error(tmp_path):
    assert read(tmp_path / "labelled") == {}
    (tmp_path / ".gitkeep").touch()
    assert read(tmp_path, share=0.5, validation=1, test=1) == {}


def test_a_folder_nobody_named_is_for_testing_only_as_the_reader_sees_it(tmp_path, boxes):
    put_writers(tmp_path / "hands", boxes, 3)
    found = read(tmp_path)["hands"]
    assert list(found.parts) == ["test"] and found.record["share"] == 0
    assert found.parts["test"].labels.tolist() == [INDEX[c] for c, _ in boxes]
    expected = np.stack([normalise(image).pixels for _, image in boxes])
    assert np.array_equal(found.parts["test"].images, expected)


def test_a_writer_is_in_one_part_whatever_the_order_of_the_rows(tmp_path, boxes):
    folder = put_writers(tmp_path / "hands", boxes, 8)
    found = read(tmp_path, share=0.5, validation=2, test=3)["hands"]
    names = {part: found.record["parts"][part]["names"] for part in labelled.PARTS}
    assert [len(names[part]) for part in ("test", "validation", "train")] == [3, 2, 3]
    assert sorted(chain.from_iterable(names.values())) == [f"w{n}" for n in range(8)]
    owner = {normalise(image).pixels.tobytes(): f"w{at % 8}" for at, (_, image) in enumerate(boxes)}
    for part, characters in found.parts.items():
        wrote = [owner[image.tobytes()] for image in characters.images]
        assert wrote == [names[part][number] for number in found.groups[part]]
    head, *rows = (folder / "labels.csv").read_text().splitlines()
    (folder / "labels.csv").write_text("\n".join([head, *reversed(rows)]))
    again = read(tmp_path, share=0.5, validation=2, test=3)["hands"]
    for part, told in again.record["parts"].items():
        assert sorted(told["names"]) == sorted(names[part])


def test_cards_join_their_writers_and_writers_their_cards(tmp_path, boxes):
    images = {f"{at}.png": image for at, (_, image) in enumerate(boxes[:6])}
    owned = [("anna", "1"), ("anna", "2"), ("", "2"), ("ben", "2"), ("", "3"), ("", "")]
    lines = ["file,character,writer,card"]
    lines += [f"{at}.png,{boxes[at][0]},{w},{c}" for at, (w, c) in enumerate(owned)]
    rows = labelled.read_rows(put(tmp_path / "hands", lines, images))
    group, names = labelled.group_rows(rows)
    assert len(set(group[:4])) == 1 and len(set(group)) == 3
    assert [names[number] for number in group] == ["anna"] * 4 + ["3", ""]


def test_more_writers_asked_for_than_there_are_says_what_to_lower(tmp_path, boxes):
    put_writers(tmp_path / "hands", boxes, 3)
    with pytest.raises(dataset.DataError, match=r"hands has 3 .*lower.*finetune\.labelled\.hands"):
        read(tmp_path, share=0.5, validation=1, test=2)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([], "no column file and character"),
        (["file;character", "0.png;A"], "no column file and character.*commas"),
        (["file,writer", "0.png,A"], "no column character"),
        (["file,character", "0.png,A", "1.png,I"], "line 3: character 'I' is none of.*no VIN"),
        (["file,character", "0.png,a"], "line 2: character 'a' .*capitals only"),
        (["file,character", "0.png"], "line 2: character ''"),
        (["file,character", "9.png,A"], "line 2: no image 9.png .*take the row out"),
        (["file,character", "../0.png,A"], "line 2: file '../0.png' is no path inside"),
        (["file,character", "/etc/passwd,A"], "line 2: file '/etc/passwd' is no path inside"),
        (["file,character", "0.png,A", "images/0.png,B"], "line 3: .*stands in line 2 already"),
    ],
)
def test_a_wrong_row_is_told_with_its_line_and_what_to_do(tmp_path, boxes, lines, told):
    put(tmp_path / "hands", lines, {"0.png": boxes[0][1], "1.png": boxes[1][1]})
    with pytest.raises(dataset.DataError, match=f"(?s)labels.csv.*{told}"):
        read(tmp_path)


def test_all_wrong_rows_are_counted_and_the_first_are_named(tmp_path, boxes):
    lines = ["file,character", *[f"{at}.png,?" for at in range(30)]]
    put(tmp_path / "hands", lines, {})
    with pytest.raises(dataset.DataError) as raised:
        read(tmp_path)
    text = str(raised.value)
    assert text.startswith("30 wrong") and text.count("line ") == 10 and "and 20 more" in text


def test_a_folder_without_labels_says_what_it_should_hold(tmp_path):
    (tmp_path / "hands").mkdir()
    with pytest.raises(dataset.DataError, match=r"labels\.csv.*file,character"):
        read(tmp_path)


def test_a_link_that_dvc_would_not_follow_is_refused(tmp_path, boxes):
    put_writers(tmp_path / "elsewhere/hands", boxes, 2)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/hands").symlink_to(tmp_path / "elsewhere/hands")
    with pytest.raises(dataset.DataError, match=r"in/hands is a link.*copy"):
        read(tmp_path / "in")


def test_what_cannot_be_used_is_left_out_and_counted(tmp_path, boxes):
    images = {f"{at}.png": image for at, (_, image) in enumerate(boxes[:3])}
    images |= {"empty.png": np.full((50, 50), 250, np.uint8), "copy.png": boxes[0][1]}
    lines = ["file,character", *[f"{name},A" for name in images], "broken.png,A"]
    folder = put(tmp_path / "hands", lines, images)
    (folder / "images/broken.png").write_bytes(b"no image")
    found = read(tmp_path)["hands"]
    assert len(found.parts["test"]) == 3
    assert found.record["left_out"] == {"blank": 1, "in another set": 1, "unreadable": 1}
    assert str(found) == "hands: 3 test; left out: 1 blank, 1 in another set, 1 unreadable"


def test_an_image_is_in_one_set_a_test_before_a_training(tmp_path, boxes):
    put_writers(tmp_path / "hands", boxes, 8)
    how = {"share": 0.5, "validation": 2, "test": 3}
    alone = read(tmp_path, **how)["hands"].parts
    put_writers(tmp_path / "other", boxes[:9], 1)  # for testing only
    known = {normalise(boxes[20][1]).pixels.tobytes()}
    seen: set[bytes] = set()
    dataset.not_seen(np.stack([normalise(boxes[20][1]).pixels]), seen)
    found = read(tmp_path, seen, **how)
    sets = [pixels(c) for folder in found.values() for c in folder.parts.values()]
    assert sum(map(len, sets)) == len(set().union(*sets)) == len(boxes) - 1
    assert not known & set().union(*sets)
    assert pixels(found["hands"].parts["test"]) == pixels(alone["test"]) - known
    assert len(found["other"].parts["test"]) < 9


def test_the_record_changes_with_the_images_and_the_labels(tmp_path, boxes):
    folder = put_writers(tmp_path / "hands", boxes, 2)
    before = read(tmp_path)["hands"].record["sha256"]
    assert cv2.imwrite(str(folder / "images/0.png"), boxes[1][1])
    after = read(tmp_path)["hands"].record["sha256"]
    assert after["images"] != before["images"] and after["labels.csv"] == before["labels.csv"]


def test_what_is_saved_is_loaded(tmp_path, boxes, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(dataset.DataError, match="dvc repro"):
        labelled.load_record()
    put_writers(tmp_path / "in/hands", boxes, 4)
    folders = list(read(tmp_path / "in").values())
    labelled.save(folders)
    assert labelled.load_record() == {"hands": folders[0].record}
    loaded = labelled.load("test")["hands"]
    assert np.array_equal(loaded.images, folders[0].parts["test"].images)
    assert np.array_equal(labelled.load_groups("hands", "test"), folders[0].groups["test"])
    assert labelled.load("train") == {}


def put_batch(folder: Path, boxes, *parts: str) -> None:
    """A batch of cards of 17 boxes, each in one of these parts."""
    lines, images = [",".join(labelled.BATCH_COLUMNS)], {}
    for card, part in enumerate(parts):
        for box in range(17):
            name, (character, image) = f"{card}-{box}.png", boxes[card * 17 + box]
            lines.append(f"{name},{character},c{card},{box + 1},{part},,,spring")
            images[name] = image
    put(folder, lines, images)


def test_a_batch_is_divided_by_cards_as_it_says(tmp_path, boxes, monkeypatch):
    put_batch(tmp_path / "data/checked/spring", boxes, "test", "validation", "train")
    monkeypatch.chdir(tmp_path)
    found = labelled.read_all(FINETUNE, set())
    labelled.save(found)
    assert str(found[0]) == "spring: 17 test, 17 validation, 17 train"
    for part, first in (("test", 0), ("validation", 17), ("train", 34)):
        characters = labelled.load(part)[labelled.CHECKED]
        truth = [INDEX[c] for c, _ in boxes[first : first + 17]]
        (card,) = labelled.whole_cards(part)
        assert characters.labels[card].tolist() == truth


def test_several_batches_are_one_set_of_whole_cards(tmp_path, boxes, monkeypatch):
    put_batch(tmp_path / "data/checked/autumn", boxes[34:], "test")
    put_batch(tmp_path / "data/checked/spring", boxes, "test", "test")
    (tmp_path / "data/checked/spring/images/1-3.png").write_bytes(b"damaged since")
    monkeypatch.chdir(tmp_path)
    labelled.save(labelled.read_all(FINETUNE, set()))
    characters = labelled.load("test")[labelled.CHECKED]
    assert len(characters) == 3 * 17 - 1
    cards = characters.labels[labelled.whole_cards("test")].tolist()
    assert cards == [[INDEX[c] for c, _ in boxes[at : at + 17]] for at in (34, 0)]


def test_folders_in_the_wrong_place_are_refused_with_the_way_there(tmp_path, boxes):
    put_batch(tmp_path / "labelled/spring", boxes, "test")
    with pytest.raises(dataset.DataError, match=r"mv .*labelled/spring .*checked/"):
        read(tmp_path / "labelled")
    (tmp_path / "labelled").rename(tmp_path / "checked")
    assert list(read(tmp_path / "labelled")) == ["spring"]
    put_writers(tmp_path / "checked/hands", boxes, 2)
    with pytest.raises(dataset.DataError, match=r"hands is no batch.*mv .*hands "):
        read(tmp_path / "labelled")
