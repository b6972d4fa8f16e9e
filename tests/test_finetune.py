"""Labelled folders join: what is trained on and what is kept from it, and that the rest stays."""

import shutil
from pathlib import Path

from vintraining.data import dataset, handwriting
from vintraining.drawing.cards import draw_cards
from vintraining.hands import batches, labelled
from vintraining.model import network
from vintraining.parameters import load

import cv2
import numpy as np
import pytest
from PIL import Image

from conftest import Workspace
from vinreader.image.boxes import normalise_batch
from vinreader.spec import CHARACTERS

SMALL_NETWORK = load().train.model_copy(update={"widths": [4, 8, 8], "depths": [1, 1, 1]})

TRAINED, FINETUNED = Path("models/vin-reader.keras"), Path("models/finetuned.keras")


def put_labelled(folder: Path, pictures: np.ndarray, classes: np.ndarray, writers) -> None:
    """A labelled folder of these images, as dark ink on paper."""
    folder.mkdir(parents=True)
    lines = ["file,character,writer"]
    for at, (picture, index, writer) in enumerate(zip(pictures, classes, writers, strict=True)):
        Image.fromarray(255 - picture).save(folder / f"{at}.png")
        lines.append(f"{at}.png,{CHARACTERS[index]},{writer}")
    (folder / "labels.csv").write_text("\n".join(lines))


@pytest.fixture
def place(workspace, monkeypatch) -> Workspace:
    """A workspace with a split, a trained network and two labelled folders of three writers."""
    monkeypatch.chdir(workspace.folder)
    for number, part in enumerate(("train", "validation", "test")):
        images, labels, _ = handwriting.write(2, writers=2, seed=number, progress=False)
        dataset.save(Path("data/split"), part, dataset.Characters(normalise_batch(images), labels))
    network.keras.utils.set_random_seed(1)
    network.save(network.build(SMALL_NETWORK), TRAINED)
    for folder, seed in (("hands", 7), ("others", 8)):
        written = handwriting.write(3, writers=3, seed=seed, progress=False)
        put_labelled(labelled.FOLDER / folder, *written)
    workspace.set({"finetune.labelled": {}, "finetune.steps": 5, "train.batch_size": 32})
    return workspace


def listed(place: Workspace) -> bytes:
    """What `finetune` depends on, for data/labelled as it is."""
    result = place.run("list_labelled.py")
    assert result.returncode == 0, result.stderr
    return Path("data/labelled.json").read_bytes()


def finetune(place: Workspace) -> str:
    result = place.run("finetune.py")
    assert result.returncode == 0, result.stderr
    return result.stdout


def pixels(characters: dataset.Characters) -> set[bytes]:
    return {image.tobytes() for image in characters.images}


def test_folders_for_testing_only_are_not_trained_on(place):
    finetune(place)
    assert labelled.load("test").keys() == {"hands", "others"}
    assert labelled.load("train") == {}
    with_folders = FINETUNED.read_bytes()
    shutil.rmtree(labelled.FOLDER)
    finetune(place)
    assert FINETUNED.read_bytes() == with_folders != TRAINED.read_bytes()
    assert place.read_json("metrics/finetune.json")["characters"] == 0


def test_a_folder_to_train_on_changes_the_network_the_same_way_each_time(place):
    place.set({"finetune.labelled": {"hands": {"share": 0.4, "validation": 1, "test": 1}}})
    made = []
    for _ in range(2):
        finetune(place)
        made.append(FINETUNED.read_bytes())
    assert made[0] == made[1] != TRAINED.read_bytes()
    told = labelled.load_record()["hands"]
    assert told["share"] == 0.4 and {n["groups"] for n in told["parts"].values()} == {1}
    assert place.read_json("metrics/finetune.json")["characters"] == len(
        labelled.load("train")["hands"]
    )


def test_an_image_is_in_one_set_of_all(place):
    place.set({"finetune.labelled": {"hands": {"share": 0.4, "validation": 1, "test": 1}}})
    taken = dataset.load(Path("data/split"), "test")
    first = normalise_batch(handwriting.write(3, writers=3, seed=8, progress=False)[0])[:1]
    both = dataset.Characters(
        np.concatenate([taken.images, first]), np.append(taken.labels, np.uint8(0))
    )
    dataset.save(Path("data/split"), "test", both)
    finetune(place)
    sets = [pixels(own) for part in labelled.PARTS for own in labelled.load(part).values()]
    assert sum(map(len, sets)) == len(set().union(*sets)) >= 2 * 3 * 33 - 4
    assert not set().union(*sets) & pixels(both)


def test_a_batch_of_checked_cards_leaves_it_as_it_is(place):
    finetune(place)
    known = listed(place)
    before = {path: path.read_bytes() for path in labelled.HANDS.rglob("*") if path.is_file()}
    (card,) = draw_cards(1, seed=4)
    files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in card.boxes)
    with batches.Batch(labelled.FOLDER / "spring", 0.1) as batch:
        batch.add(batches.Checked("1", card.vin), batches.Scan("1", (), files))
        batch.write()
    assert listed(place) == known  # so that it does not run at all
    finetune(place)
    after = {path: path.read_bytes() for path in labelled.HANDS.rglob("*") if path.is_file()}
    assert after == before


def test_what_a_folder_holds_is_told_by_what_the_stage_depends_on(place):
    known = [listed(place)]
    image = labelled.FOLDER / "others/0.png"
    image.write_bytes((labelled.FOLDER / "others/1.png").read_bytes())
    known.append(listed(place))
    table = labelled.FOLDER / "others/labels.csv"
    table.write_text(table.read_text().replace(",0,", ",1,", 1))
    known.append(listed(place))
    assert len(set(known)) == 3
    image.unlink()
    result = place.run("list_labelled.py")
    assert result.returncode == 1 and "no image 0.png" in result.stderr


def test_shares_that_leave_no_room_are_refused(place):
    whole = {"share": 0.5, "validation": 1, "test": 1}
    place.set({"finetune.labelled": {"hands": whole, "others": dict(whole)}})
    result = place.run("finetune.py")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "less than 1 together" in result.stderr
