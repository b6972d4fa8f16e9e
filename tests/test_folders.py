import os

import numpy as np
import pytest
from PIL import Image

from vinreader import folders

FIRST_TO_LAST = range(1, 18)


@pytest.fixture
def put(tmp_path):
    """Writes images by name below a folder, and returns the folder."""

    def put(*names, size=(20, 24)):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full(size[::-1], 255, np.uint8)).save(path)
        return tmp_path

    return put


def found(folder):
    items = list(folders.find_items(folder))
    return (
        [(i.name, len(i.images), i.message) for i in items if isinstance(i, folders.Card)],
        [i.relative_to(folder).as_posix() for i in items if not isinstance(i, folders.Card)],
    )


def test_an_empty_folder_holds_nothing_and_a_missing_one_is_an_error(tmp_path):
    assert found(tmp_path) == ([], [])
    with pytest.raises(OSError):
        next(folders.find_items(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("pattern", "numbers", "name"),
    [
        ("car/{}.png", FIRST_TO_LAST, "car"),
        ("car/IMG 20{}.jpg", range(31, 48), "car"),  # names in a folder are free
        ("{:02}.png", FIRST_TO_LAST, ""),  # the folder itself
        ("a_{:02}.png", FIRST_TO_LAST, "a"),
        ("deep/er/b_{}.jpg", FIRST_TO_LAST, "deep/er/b"),
        ("car_{}.png", range(17), "car"),  # counted from zero
    ],
)
def test_17_images_are_a_card_in_natural_order(put, pattern, numbers, name):
    names = [pattern.format(number) for number in numbers]
    root = put(*names)
    (card,) = folders.find_items(root)
    assert (card.name, card.message, card.gaps) == (name or root.name, "", ())
    assert [path.relative_to(root).as_posix() for path in card.images] == names


@pytest.mark.parametrize("kind", ["png", "jpg"])
@pytest.mark.parametrize("boxes", ["car/{}.png", "car_{}.png", "car/c_{}.png"])
def test_wide_images_are_no_boxes_of_the_card_beside_them(put, boxes, kind):
    root = put(*(boxes.format(i) for i in FIRST_TO_LAST))
    wide = [boxes.format(i).removesuffix("png") + kind for i in (18, 19, 20)]
    put(*wide, size=(600, 60))
    name = "car/c" if "c_" in boxes else "car"
    assert found(root) == ([(name, 17, "")], wide)


@pytest.mark.parametrize("count", [25, 29, 31])
def test_samples_of_a_character_are_no_card(put, count):
    names = [f"{c}_{i:02}.png" for c in "0AZ" for i in range(1, count + 1)]
    assert found(put(*names)) == ([], names)


@pytest.mark.parametrize("count", [1, 2, 5, 10, 14, 20])
def test_few_or_many_loose_images(put, count):
    names = [f"sample_{i}.png" for i in range(1, count + 1)]
    assert found(put(*names)) == ([], names)


@pytest.mark.parametrize(
    "numbers, reason, gaps",
    [
        ([*range(1, 17)], "16 boxes, a card has 17: missing box 17", (16,)),
        ([*range(1, 5), *range(6, 18)], "16 boxes, a card has 17: missing box 5", (4,)),
        ([*range(1, 19)], "18 boxes, a card has 17: unexpected box 18", ()),
        ([*range(1, 17), 18], "17 boxes, a card has 17: missing box 17; unexpected box 18", (16,)),
        ([0, *range(2, 17)], "16 boxes, a card has 17: missing box 1", (1,)),
    ],
)
@pytest.mark.parametrize("pattern", ["x_{}.png", "sub/x_{:02}.png", "x/{}.png"])
def test_wrong_boxes_are_reported_by_card_and_keep_their_places(
    put, numbers, reason, gaps, pattern
):
    (card,) = folders.find_items(put(*(pattern.format(n) for n in numbers)))
    assert card.name == ("sub/x" if pattern.startswith("sub") else "x")
    assert (len(card.images), card.message, card.gaps) == (len(numbers), reason, gaps)


@pytest.mark.parametrize("pattern", ["x_{}.", "x/{}."])
def test_duplicate_boxes_are_reported(put, pattern):
    names = [pattern.format(f"{i:02}") + "png" for i in range(1, 17)]
    root = put(*names, pattern.format(3) + "jpg")
    reason = "17 boxes, a card has 17: duplicate box 3; missing box 17"
    assert found(root) == ([("x", 17, reason)], [])


def test_folder_with_one_image_too_many(put):
    root = put(*(f"car/{i}.png" for i in FIRST_TO_LAST), "car/photo.png")
    assert found(root) == ([("car", 18, "18 boxes, a card has 17")], [])


def test_old_numbers_with_fewer_characters_are_reported(put):
    root = put(*(f"old/{i}.png" for i in range(1, 12)))
    ((name, count, message),), loose = found(root)
    assert (name, count, loose) == ("old", 11, [])
    assert message.startswith("11 boxes, a card has 17: missing box 12")


def test_cards_and_loose_images_may_share_a_folder(put):
    root = put(
        *(f"box/car_{i}.png" for i in FIRST_TO_LAST),
        *(f"box/bus_{i}.png" for i in range(1, 17)),
        "box/one.png",
        "box/two.png",
    )
    put("box/field.png", size=(900, 60))
    cards, loose = found(root)
    assert [name for name, _, _ in cards] == ["box/bus", "box/car"]
    assert [bool(message) for _, _, message in cards] == [True, False]
    assert loose == ["box/field.png", "box/one.png", "box/two.png"]


def test_everything_comes_in_natural_order(put):
    root = put(
        "a1.png",
        "a.png",
        *(f"b10/{i}.png" for i in FIRST_TO_LAST),
        *(f"B9_{i}.png" for i in FIRST_TO_LAST),
        "b10/deep/x.png",
        "b10.png",
        "b2/x.png",
        "007.png",
        "10.png",
    )
    names = [
        item.name if isinstance(item, folders.Card) else item.relative_to(root).as_posix()
        for item in folders.find_items(root)
    ]
    assert names == [
        "007.png",
        "10.png",
        "a1.png",
        "a.png",
        "b2/x.png",
        "B9",
        "b10.png",
        "b10",
        "b10/deep/x.png",
    ]


def test_shapes_are_looked_at_only_where_they_decide(put, monkeypatch):
    looked, look = [], folders._is_wide_file
    monkeypatch.setattr(folders, "_is_wide_file", lambda path: looked.append(path) or look(path))
    put(*(f"scan {i}.png" for i in range(60)), *(f"box_{i}.png" for i in range(60)))
    root = put(*(f"cards/{i}.png" for i in FIRST_TO_LAST))
    assert len(list(folders.find_items(root))) == 121
    assert len(looked) == 1 + 20 + 17  # box_<more than 19>, more than a card has, the card's own


def test_broken_images_and_odd_names_stay_loose(tmp_path):
    odd = ["=cmd.png", "<b>x<b>.png", "line\nbreak.png", "a_99999999999999999999.png", "b_².png"]
    for name in odd:
        (tmp_path / name).write_bytes(b"not an image")
    (tmp_path / "text.txt").write_text("no image")
    cards, loose = found(tmp_path)
    assert cards == [] and set(loose) == set(odd)


def test_of_boxes_without_numbers_the_last_ones_are_missing(put):
    (card,) = folders.find_items(put(*(f"car/{c}.png" for c in "abcdefghijklmno")))
    assert card.gaps == (15, 16) and card.message == "15 boxes, a card has 17"


def test_no_two_cards_have_the_same_name(put):
    root = put(
        *(f"a/b/{i}.png" for i in FIRST_TO_LAST),
        *(f"a/b_{i:02}.png" for i in FIRST_TO_LAST),
        *(f"a_b_{i}.png" for i in FIRST_TO_LAST),
        *(f"{i}.png" for i in FIRST_TO_LAST),
    )
    put(*(f"{root.name}/{i}.png" for i in FIRST_TO_LAST))
    names = [name for name, _, _ in found(root)[0]]
    assert sorted(names) == sorted([f"../{root.name}", "a/b", "a/b_01.png", "a_b", root.name])


def test_what_is_left_aside_is_counted_by_reason_and_folder(put):
    root = put("a/x.png", "a/y.JPG", "b/z.png")
    for name, content in (("b/1.zip", b"PK\3\4" + bytes(60)), ("b/2.zip", b"PK\3\4")):
        (root / name).write_bytes(content)
    (root / "notes.txt").write_text("text")
    (root / "a/plain").write_text("text")
    (root / "a/link").symlink_to(root / "b")
    os.mkfifo(root / "a/pipe.png")
    seen = folders.Found()
    assert len(list(folders.find_items(root, seen))) == 3
    assert seen.images == {"PNG": 2, "JPG": 1}
    assert seen.aside == {
        "ZIP: not read; unpack it": {"b": 2},
        "no image (.txt)": {".": 1},
        "no image": {"a": 1},
        "link to a folder: not followed": {"a": 1},
        "no file": {"a": 1},
    }


def test_links_that_cannot_be_followed_are_images_whose_rows_say_so(put):
    root = put("a/x.png")
    links = {"long.png": "y" * 300, "round-1.png": "round-2.png", "round-2.png": "round-1.png"}
    for name, target in links.items():
        (root / "a" / name).symlink_to(target)
    assert found(root) == ([], [*(f"a/{name}" for name in links), "a/x.png"])


def test_deep_folders(put):
    name = "d/" * 300 + "x.png"
    assert found(put(name)) == ([], [name])
