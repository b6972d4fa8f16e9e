"""What an archive's batches teach: how much of the network, what is kept apart, and what is not."""

from pathlib import Path

from vintraining.data import dataset, handwriting
from vintraining.drawing.cards import draw_cards
from vintraining.hands import adaptation, batches, labelled, learning
from vintraining.model import network
from vintraining.parameters import load
from vintraining.scores import transfer

import cv2
import numpy as np
import pytest

from conftest import Workspace
from vinreader.image.boxes import normalise_batch
from vinreader.spec import CHARACTERS

SMALL_NETWORK = load().train.model_copy(update={"widths": [4, 8, 8], "depths": [1, 1, 1]})

SMALL = {"train.widths": [4, 8, 8], "train.batch_size": 32, "adapt.passes": 2}


def put_batch(root: Path, first: int, count: int, share: float = 0.5) -> dict[str, str]:
    """A batch of drawn cards; gives the part of each number."""
    name = f"batch-{first}"
    cards = draw_cards(first + count, seed=5)[first:]
    with batches.Batch(root / "data/labelled" / name, share) as batch:
        for number, card in enumerate(cards):
            files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in card.boxes)
            batch.add(batches.Checked(f"{name}/{number}", card.vin), batches.Scan("", (), files))
        batch.write()
        return {kept.checked.vin: kept.part for kept in batch.cards.values()}


@pytest.fixture
def place(workspace, monkeypatch) -> Workspace:
    monkeypatch.chdir(workspace.folder)
    return workspace


def test_batches_become_characters_and_whole_cards_by_part(place):
    parts = put_batch(place.folder, 0, 12) | put_batch(place.folder, 20, 6)
    adaptation.save(batches.gather(Path("data/labelled")))
    assert adaptation.load_record()["batches"].keys() == {"batch-0", "batch-20"}
    images: set[bytes] = set()
    for part in (adaptation.TRAIN, adaptation.VALIDATION, adaptation.TEST):
        cards = adaptation.load_cards(part)
        expected = [vin for vin, its in parts.items() if its == part]
        assert set(cards.vins) <= set(expected) and len(cards.vins) >= len(expected) - 2
        for vin, rows in zip(cards.vins, cards.boxes, strict=True):
            assert "".join(CHARACTERS[c] for c in cards.characters.labels[rows]) == vin
        own = {image.tobytes() for image in cards.characters.images}
        assert not own & images
        images |= own


def test_without_batches_there_is_nothing_and_the_network_passes_through(place):
    trained = network.build(SMALL_NETWORK)
    network.save(trained, Path("models/finetuned.keras"))
    result = place.run("adapt.py")
    assert result.returncode == 0 and "stays as it was" in result.stdout
    assert Path("models/adapted.keras").read_bytes() == Path("models/finetuned.keras").read_bytes()
    assert adaptation.load(adaptation.TEST) == {}
    assert adaptation.load_record() == {"batches": {}, "parts": {}}


def test_the_more_there_is_the_more_is_learned():
    how = load().adapt
    levels = [learning.level(boxes, how) for boxes in (0, 1, 299, 300, 2999, 3000)]
    assert levels == ["nothing", "bias", "bias", "last layers", "last layers", "all layers"]


def test_a_bias_is_found_whatever_classes_are_frequent():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (3000, 33))
    biased = logits.copy()
    biased[:, 3] += 1.5
    chance = np.exp(biased - np.logaddexp.reduce(biased, axis=1)[:, None])
    labels = np.array([rng.choice(33, p=row) for row in chance])
    found = learning.class_bias(logits, labels, 5.0)
    # The logits are of even classes; that 3 is frequent here is no reason to read it more often.
    shares = np.bincount(labels, minlength=33) / len(labels)
    assert found[3] + np.log(shares[3] * 33) == pytest.approx(1.5, abs=0.5)
    assert np.abs(learning.class_bias(logits[:5], labels[:5], 0.5)).max() < 0.5  # few: little


@pytest.fixture(scope="module")
def written() -> dict[str, dataset.Characters]:
    found = {}
    for name, seed in (("own", 1), ("old", 2)):
        images, labels, _ = handwriting.write(6, writers=4, seed=seed, progress=False)
        found[name] = dataset.Characters(normalise_batch(images), labels)
    return found


def taught(place: Workspace, written, few: int, many: int) -> tuple[list, list, dict]:
    """The network's weights before and after it was taught, and what is told of that."""
    place.set(SMALL | {"adapt.few": few, "adapt.many": many})
    network.keras.utils.set_random_seed(1)
    model = network.build(SMALL_NETWORK)
    before = [layer.get_weights() for layer in model.layers]
    told = learning.learn(model, written["own"], [(written["old"], 1.0)], load())
    return before, [layer.get_weights() for layer in model.layers], told | {"model": model}


@pytest.mark.parametrize(
    ("few", "many", "level"), [(1000, 1000, "bias"), (1, 1000, "last layers"), (1, 2, "all layers")]
)
def test_only_what_the_number_of_boxes_carries_is_changed(place, written, few, many, level):
    before, after, told = taught(place, written, few, many)
    assert told["level"] == level and told["boxes"] == 6 * 33
    changed = {
        type(layer).__name__
        for layer, old, new in zip(told["model"].layers, before, after, strict=True)
        if any(not np.array_equal(a, b) for a, b in zip(old, new, strict=True))
    }
    assert (
        changed
        == {
            "bias": {"Dense"},
            "last layers": {"Dense", "DepthwiseConv2D"},
            "all layers": {"Dense", "DepthwiseConv2D", "Conv2D"},
        }[level]
    )
    if level == "bias":
        kernels = [weights[-1][0] for weights in (before, after)]
        assert np.array_equal(*kernels)


def test_the_same_batches_teach_the_same_bytes(place, written):
    put_batch(place.folder, 0, 6, share=0.2)
    place.set(SMALL | {"adapt.few": 1, "adapt.many": 2})
    network.save(network.build(SMALL_NETWORK), Path("models/finetuned.keras"))
    dataset.save(Path("data/split"), "train", written["old"])
    labelled.save([])  # no other hands
    made = []
    for _ in range(2):
        result = place.run("adapt.py")
        assert result.returncode == 0 and "all layers" in result.stdout, result.stderr
        made.append(Path("models/adapted.keras").read_bytes())
    assert made[0] == made[1] != Path("models/finetuned.keras").read_bytes()


def answers(count: int, wrong: int) -> transfer.Answers:
    """Readings of even confidence but for the wrong ones, which are doubtful."""
    labels = np.arange(count) % 33
    logits = 9.0 * np.eye(33)[labels]
    logits[:wrong] = 1.5 * np.eye(33)[(labels[:wrong] + 1) % 33]
    return transfer.Answers(logits, labels)


def test_the_archives_own_cards_set_the_threshold_as_soon_as_they_are_enough():
    how = load().evaluate
    elsewhere = {"emnist": answers(5000, 400)}
    few, record = adaptation.calibrate(elsewhere | {"archive": answers(150, 0)}, how)
    assert record == {"emnist": 5000} and "archive" not in few.thresholds
    assert few == adaptation.calibrate(elsewhere, how)[0]
    more, record = adaptation.calibrate(elsewhere | {"archive": answers(250, 0)}, how)
    assert record == {"emnist": 5000, "archive": 250}  # as one of all, and never against it
    assert more.threshold >= more.thresholds["archive"]
    own, record = adaptation.calibrate(elsewhere | {"archive": answers(2000, 20)}, how)
    assert record == {"archive": 2000} and list(own.thresholds) == ["archive"]


def numbered(*vins: str) -> adaptation.Cards:
    labels = np.array([CHARACTERS.index(c) for vin in vins for c in vin], np.uint8)
    images = np.zeros((len(labels), 28, 28), np.uint8)
    rows = np.arange(len(labels)).reshape(-1, 17)
    return adaptation.cards_of(dataset.Characters(images, labels), rows)


def test_a_mistyped_number_does_not_choose_thresholds_where_the_check_digit_tells_it():
    holds, mistyped, without = "1M8GDM9AXKP042788", "1M8GDM9AXKP042787", "WVWZZZ1JZ3W386752"
    for vins, chosen in (
        ((holds, mistyped), [holds]),
        ((holds, without), [holds]),  # one that nothing vouches for may be mistyped as well
        ((without, without, mistyped), [without, without]),
        ((), []),
    ):
        labels = adaptation.trusted(numbered(*vins)).labels
        assert "".join(CHARACTERS[c] for c in labels) == "".join(chosen)
