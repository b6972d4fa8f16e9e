"""Labelled folders join: what is trained on and what is kept from it, and that the rest stays."""

import shutil
from pathlib import Path

from vintraining.data import dataset, handwriting
from vintraining.drawing.cards import draw_cards
from vintraining.hands import labelled, learning
from vintraining.model import network
from vintraining.parameters import load

import numpy as np
import pytest

from conftest import PROJECT, Workspace, pixels, save_batch, save_labelled
from vinreader.image.boxes import normalise_batch

PARAMETERS = load(PROJECT / "params.yaml")
network.be_reproducible(seed=1, train=PARAMETERS.train)  # before TensorFlow has run anything
SMALL_NETWORK = PARAMETERS.train.model_copy(update={"widths": [4, 8, 8], "depths": [1, 1, 1]})

TRAINED, FINETUNED = Path("models/vin-reader.keras"), Path("models/finetuned.keras")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A split, a trained network and two labelled folders of three writers. To be copied."""
    place = tmp_path_factory.mktemp("prepared")
    for number, part in enumerate(("train", "validation", "test")):
        images, labels, _ = handwriting.write(2, writers=2, seed=number)
        characters = dataset.Characters(normalise_batch(images), labels)
        dataset.save(place / "data/split", part, characters)
    network.keras.utils.set_random_seed(1)
    network.save(network.build(SMALL_NETWORK), place / TRAINED)
    for folder, seed in (("hands", 7), ("others", 8)):
        written = handwriting.write(3, writers=3, seed=seed)
        save_labelled(place / labelled.FOLDER / folder, *written)
    return place


@pytest.fixture
def place(workspace, prepared, monkeypatch) -> Workspace:
    """A workspace with what is prepared."""
    monkeypatch.chdir(workspace.folder)
    shutil.copytree(prepared, workspace.folder, dirs_exist_ok=True)
    workspace.set({"finetune.labelled": {}, "finetune.steps": 5, "train.batch_size": 32})
    return workspace


def finetune(place: Workspace, run=Workspace.run_here) -> str:
    network.keras.backend.clear_session()  # layers are numbered anew, as in a new process
    result = run(place, "finetune.py")
    assert result.returncode == 0, result.stderr
    return result.stdout


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
    for run in (Workspace.run, Workspace.run_here):  # in a process of its own, and in this one
        finetune(place, run)
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
    first = normalise_batch(handwriting.write(3, writers=3, seed=8)[0])[:1]
    both = dataset.Characters(
        np.concatenate([taken.images, first]), np.append(taken.labels, np.uint8(0))
    )
    dataset.save(Path("data/split"), "test", both)
    finetune(place)
    sets = [pixels(own) for part in labelled.PARTS for own in labelled.load(part).values()]
    assert sum(map(len, sets)) == len(set().union(*sets)) >= 2 * 3 * 33 - 4
    assert not set().union(*sets) & pixels(both)


def test_checked_cards_teach_and_those_held_out_do_not(place):
    finetune(place)
    without = FINETUNED.read_bytes()
    save_batch(labelled.BATCHES / "spring", draw_cards(8, seed=4))
    made = []
    for _ in range(2):
        finetune(place)
        made.append(FINETUNED.read_bytes())
    assert made[0] == made[1] != without
    sets = {part: labelled.load(part).get(labelled.CHECKED) for part in labelled.PARTS}
    assert place.read_json("metrics/finetune.json")["checked_boxes"] == len(sets["train"])
    assert len(sets["train"]) + len(sets["test"]) + len(sets["validation"]) == 8 * 17
    assert not pixels(sets["train"]) & (pixels(sets["test"]) | pixels(sets["validation"]))
    for part, characters in sets.items():
        assert len(labelled.whole_cards(part)) == len(characters) // 17


def test_few_boxes_are_not_shown_over_and_over():
    how = PARAMETERS
    steps, size = how.finetune.steps, how.train.batch_size
    share = learning.checked_share(100, how.finetune.checked, how.train, steps)
    assert share * steps * size == pytest.approx(100 * how.finetune.checked.passes)
    many = learning.checked_share(10**6, how.finetune.checked, how.train, steps)
    assert many == how.finetune.checked.share


def test_a_folder_that_is_named_and_missing_is_said_and_recorded(place):
    shares = {"share": 0.3, "validation": 1, "test": 1}
    place.set({"finetune.labelled": {"hands": dict(shares), "letters": dict(shares)}})
    result = place.run_here("finetune.py")
    assert result.returncode == 0 and "WARNING: data/labelled lacks letters" in result.stderr
    assert place.read_json("metrics/finetune.json")["missing"] == ["letters"]


def test_shares_that_leave_no_room_are_refused(place):
    whole = {"share": 0.5, "validation": 1, "test": 1}
    place.set({"finetune.labelled": {"hands": whole, "others": dict(whole)}})
    result = place.run_here("finetune.py")
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "less than 1 together" in result.stderr
