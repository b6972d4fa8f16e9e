"""Checked cards become a batch: what is taken in, what is refused; nothing is half done."""

import shutil
from pathlib import Path

from vintraining.drawing.cards import draw_cards
from vintraining.hands import batches

import cv2
import pytest

from conftest import Workspace, killed_at, predict, rows, save_card, write_rows
from vinreader.image.pages import open_pages
from vinreader.tables import DRAWN, VinRow

TRUTH = [card.vin for card in draw_cards(8, seed=3)]


def check(folder: Path, cards: dict[str, str], audited: tuple[str, ...] = ()) -> Path:
    """checked.csv: vins.csv after a person made these numbers of these cards."""
    table = rows(folder / "vins.csv")
    for row in table:
        if row["card"] not in cards:
            continue
        number, row["read_as"] = cards[row["card"]], row["vin"]
        row["decision"] = "confirmed" if number == row["vin"] else "corrected"
        row["audit"] = DRAWN if row["card"] in audited else ""
        row["vin"], row["status"] = number, "ok"
    return write_rows(folder / "checked.csv", VinRow._fields, table)


@pytest.fixture(scope="module")
def read_once(tmp_path_factory) -> Path:
    """A folder of six cards of box images and two wide fields that was read."""
    folder = tmp_path_factory.mktemp("read")
    for number, card in enumerate(draw_cards(8, seed=3), start=1):
        place = folder / f"input/year 1970/card-{number}"
        if number > 6:
            cv2.imwrite(f"{place}.png", card.field)
        else:
            save_card(place, card)
    assert predict("input", cwd=folder).returncode == 0
    return folder


@pytest.fixture
def archive(read_once, tmp_path) -> Workspace:
    shutil.copytree(read_once, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path)


def name(number: int) -> str:
    return f"year 1970/card-{number}" + (".png" if number > 6 else "")


def numbered(*numbers: int) -> dict[str, str]:
    return {name(number): TRUTH[number - 1] for number in numbers}


def tree(folder: Path) -> dict[str, bytes]:
    """What is in data/, without what a killed process leaves behind for a day."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted((folder / "data").rglob("*"))
        if path.is_file() and ".part" not in path.name
    }


def collect(archive: Workspace, cards: dict[str, str] | None = None, *arguments: object) -> str:
    """What `collect` says of these cards, checked, or of those that were checked before."""
    if cards:
        check(archive.folder, cards)
    result = archive.run_here("vinreader", "collect", "input", "checked.csv", *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def refused(archive: Workspace, *arguments: object) -> str:
    """What `collect` says when it refuses, having changed nothing."""
    before = tree(archive.folder)
    result = archive.run_here("vinreader", "collect", *(arguments or ("input", "checked.csv")))
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert tree(archive.folder) == before and not list(archive.folder.glob("data/.collect*"))
    return result.stderr


def test_checked_cards_are_taken_in_as_they_were_scanned(archive):
    said = collect(archive, numbered(1, 2, 3, 7, 8))
    assert "5 cards, 5 of them new" in said and "left out: 3 not checked" in said
    folder = archive.folder / "data/checked/input"
    boxes = rows(folder / "labels.csv")
    assert len(boxes) == 5 * 17 and {row["batch"] for row in boxes} == {"input"}
    first = boxes[:17]
    assert "".join(row["character"] for row in first) == TRUTH[0]
    source = archive.folder / f"input/{name(1)}"
    for number, row in enumerate(first, start=1):
        image = (source / f"{number:02}.png").read_bytes()
        assert (folder / row["file"]).read_bytes() == image
    read = {row["path"]: row for row in rows(archive.folder / "predictions.csv")}
    field = [row for row in boxes if row["card"] == name(7)]
    for number, row in enumerate(field, start=1):
        was = read[f"{name(7)}#box={number}"]
        assert (row["read"], row["confidence"]) == (was["character"], was["confidence"])
        assert open_pages(folder / row["file"])[0].shape[0] > 40
    parts = {kept.part for kept in batches.read(folder).values()}
    assert parts <= {"train", "validation", "test"}


def test_only_numbers_that_are_learned_from_are_told_to_the_statistics(archive):
    archive.set({"finetune.checked.holdout": 0.5})
    collect(archive, numbered(*range(1, 9)), "--batch", "spring")
    kept = batches.read(archive.folder / "data/checked/spring")
    learned = sorted(k.checked.vin for k in kept.values() if k.part == "train")
    assert 0 < len(learned) < 8
    told = rows(archive.folder / "data/numbers/spring.csv")
    assert [(row["vin"], row["batch"]) for row in told] == [(vin, "spring") for vin in learned]


def test_the_part_of_a_card_follows_from_its_images_and_stays(archive):
    collect(archive, numbered(1, 2, 3, 4))
    before = {n: k.part for n, k in batches.read(archive.folder / "data/checked/input").items()}
    archive.set({"finetune.checked.holdout": 0.5})  # for what comes later
    collect(archive, numbered(*range(1, 9)))
    after = {n: k.part for n, k in batches.read(archive.folder / "data/checked/input").items()}
    assert {card: after[card] for card in before} == before


def test_a_tenth_of_the_cards_is_kept_from_training():
    digests = [batches.Scan("", (), ((str(n).encode(), ""),) * 17).digest for n in range(5000)]
    parts = [batches.part_of(digest, 0.1) for digest in digests]
    assert parts.count("test") == pytest.approx(250, abs=60)
    assert parts.count("validation") == pytest.approx(250, abs=60)


def test_the_same_again_changes_nothing_and_new_cards_join(archive):
    collect(archive, numbered(1, 2))
    before = tree(archive.folder)
    assert "0 of them new" in collect(archive)
    assert tree(archive.folder) == before
    assert "3 cards, 1 of them new" in collect(archive, numbered(1, 2, 3))
    changed = before.items() - tree(archive.folder).items()
    assert all(name.endswith(".csv") for name, _ in changed)


def test_a_card_that_has_changed_says_so(archive):
    collect(archive, numbered(1, 2, 3))
    other = TRUTH[0][:-1] + ("1" if TRUTH[0][-1] != "1" else "2")
    check(archive.folder, numbered(2) | {name(1): other})
    said = refused(archive)
    assert f"card {name(1)}: was checked as {TRUTH[0]}, now as {other}" in said
    assert "--replace" in said
    image = archive.folder / f"input/{name(3)}/05.png"
    cv2.imwrite(str(image), 255 - open_pages(image)[0])
    check(archive.folder, numbered(2, 3))
    assert f"card {name(3)}: its images are others" in refused(archive)
    collect(archive, None, "--replace")
    folder = archive.folder / "data/checked/input"
    named = {row["file"] for row in rows(folder / "labels.csv")}
    assert {f"images/{path.name}" for path in (folder / "images").iterdir()} == named


def test_the_same_scan_under_two_names_is_taken_once(archive):
    shutil.rmtree(archive.folder / f"input/{name(2)}")
    shutil.copytree(archive.folder / f"input/{name(1)}", archive.folder / f"input/{name(2)}")
    assert predict("input", cwd=archive.folder).returncode == 0
    twice = {name(1): TRUTH[0], name(2): TRUTH[0]}
    assert "1 the same scan as another card" in collect(archive, twice)
    check(archive.folder, {name(1): TRUTH[0], name(2): TRUTH[1]})
    assert f"checked as {TRUTH[1]}, the other as {TRUTH[0]}" in refused(archive)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text.replace("card,vin", "card,number"), "no column vin"),
        (lambda text: text.replace(",", ";"), "with commas between them"),
        (lambda text: text.replace("confirmed", ""), "no card with a whole number"),
        (lambda text: text + text.splitlines()[1] + "\n", "stands in line 2 already"),
        (lambda text: text.replace(TRUTH[1], TRUTH[1][:-1] + "O"), "O, which no VIN has"),
        (lambda text: "", "no column card"),
        (lambda text: text.replace("confirmed", "corrected"), "does not fit"),
    ],
)
def test_a_wrong_table_is_refused(archive, damage, says):
    read = {row["card"]: row["vin"] for row in rows(archive.folder / "vins.csv")}
    table = check(archive.folder, {name(2): read[name(2)]})
    assert read[name(2)] == TRUTH[1]
    table.write_text(damage(table.read_text()))
    assert says in refused(archive)


def test_missing_images_and_moved_folders_are_named(archive):
    check(archive.folder, numbered(1, 2))
    said = refused(archive, "input/year 1970", "checked.csv")
    assert "input/year 1970 does not hold 2 of the checked cards" in said
    assert "no such folder" in refused(archive, "elsewhere", "checked.csv")
    assert "vins.csv that the page gave back" in refused(archive, "input", "elsewhere.csv")
    image = archive.folder / f"input/{name(2)}/05.png"
    content = image.read_bytes()
    image.write_bytes(content[:50])
    assert f"{name(2)}/05.png" in refused(archive)
    image.unlink()
    assert f"card {name(2)}: 16 boxes, a card has 17: missing box 5" in refused(archive)


def test_a_table_of_another_reading_is_refused(archive):
    check(archive.folder, numbered(1))
    predictions = archive.folder / "predictions.csv"
    lines = predictions.read_text().splitlines()
    lines[1] = lines[1].replace(f",{TRUTH[0][0]},", ",Z,")
    predictions.write_text("\n".join(lines))
    assert "--predictions FILE" in refused(archive)
    predictions.unlink()
    collect(archive)
    (first, *_) = rows(archive.folder / "data/checked/input/labels.csv")
    assert (first["read"], first["confidence"]) == (TRUTH[0][0], "")


def test_what_is_no_batch_is_left_alone(archive):
    check(archive.folder, numbered(1))
    mine = archive.folder / "data/checked/input"
    mine.mkdir(parents=True)
    (mine / "labels.csv").write_text("file,character\n")
    assert "is no batch; choose another name" in refused(archive)
    numbers = archive.folder / "data/numbers/spring.csv"
    numbers.parent.mkdir()
    numbers.write_text("vin\n1M8GDM9AXKP042788\n")
    for batch, says in (
        ("spring", "spring.csv is there already"),
        ("../elsewhere", "no name for a batch"),
    ):
        assert says in refused(archive, "input", "checked.csv", "--batch", batch)


def test_killed_at_any_moment_the_batch_is_the_old_or_the_new_one(archive):
    folder = archive.folder
    collect(archive, numbered(1, 7))
    labels = folder / "data/checked/input/labels.csv"
    old, before = labels.read_bytes(), folder / "before"
    shutil.copytree(folder / "data", before)
    table = check(folder, numbered(1, 2, 7))
    collect(archive)
    new, whole = labels.read_bytes(), tree(folder)
    for start, step in (("nothing", 25), ("old", 19)):  # not every image
        change, killed = 0, True
        while killed:
            shutil.rmtree(folder / "data", ignore_errors=True)
            if start == "old":
                shutil.copytree(before, folder / "data")
            killed = killed_at(change, "vinreader", "collect", "input", table, cwd=folder)
            if labels.parent.exists():
                assert labels.read_bytes() in ((old, new) if start == "old" else (new,))
                for row in rows(labels):
                    assert (labels.parent / row["file"]).is_file()
            if killed and change % 2 == 0:
                collect(archive)
                assert tree(folder) == whole
            change += 1 if change < 4 else step
        assert tree(folder) == whole and change > 5
