"""Augmentation, the network, and its training on small data."""

import json
import tempfile
import zipfile

from vintraining import converting
from vintraining.data import dataset, handwriting
from vintraining.model import augmentation, network
from vintraining.model.augmentation import Augmentation
from vintraining.parameters import Train, load

import keras
import numpy as np
import pytest

from vinreader.image.boxes import normalise_batch
from vinreader.litert import LiteRT
from vinreader.spec import SIDE, ModelError

from conftest import PROJECT, linux  # isort: skip

PARAMETERS = load(PROJECT / "params.yaml")
network.be_reproducible(seed=1, train=PARAMETERS.train)  # before TensorFlow has run anything


@pytest.fixture(scope="module")
def characters() -> dataset.Characters:
    images, labels, _ = handwriting.write(per_class=8, writers=8, seed=3)
    return dataset.Characters(normalise_batch(images), labels)


def quick(**changes) -> Train:
    values = {"epochs": 1, "batch_size": 32, "widths": [4, 8, 8], "patience": 3} | changes
    return PARAMETERS.train.model_copy(update=values)


def test_augmentation_follows_the_generator_alone(characters):
    how = PARAMETERS.train.augmentation
    first, again, other = (
        augmentation.augment(characters.images, how, np.random.default_rng(seed))
        for seed in (5, 5, 6)
    )
    assert first.shape == characters.images.shape and first.dtype == np.float32
    assert first.min() >= 0 and first.max() <= 255
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_no_augmentation_changes_almost_nothing(characters):
    how = Augmentation(**dict.fromkeys(Augmentation.model_fields, 0.0))
    same = augmentation.augment(characters.images, how, np.random.default_rng(0))
    # The ink is fitted to the frame anew, which may move it by part of a pixel.
    assert np.abs(same - characters.images).mean() < 12


def test_what_is_crossed_out_has_strokes_across_it(characters):
    for seed, image in enumerate(characters.images[::8].astype(np.float32)):
        crossed = augmentation.cross_out(image, np.random.default_rng(seed))
        assert np.array_equal(crossed, augmentation.cross_out(image, np.random.default_rng(seed)))
        assert crossed.shape == image.shape and crossed.dtype == np.float32
        assert crossed.min() >= 0 and crossed.max() <= 255
        inked = crossed > 127
        assert max(np.ptp(np.flatnonzero(inked.any(axis))) for axis in (0, 1)) >= 18


def test_what_is_crossed_out_is_to_be_any_character(characters):
    batches = network.TrainingBatches(characters, quick(crossed_out=0.5), seed=1)
    _, targets = batches[0]
    struck = targets.max(axis=1) < 1
    assert 0.2 < struck.mean() < 0.8
    assert np.allclose(targets[struck], batches.rates) and np.allclose(targets.sum(axis=1), 1)


def test_one_image_is_written_like_the_same_image_among_many(characters):
    """No ink leaks from an image to the one above or below it in the stack."""
    how = PARAMETERS.train.augmentation
    images = np.zeros((3, SIDE, SIDE), np.uint8)
    images[0], images[2] = characters.images[0], characters.images[1]
    for seed in range(20):
        written = augmentation.augment(images, how, np.random.default_rng(seed))
        assert written[1].max() == 0


def test_a_large_batch_is_written_in_blocks(characters):
    many = np.concatenate([characters.images] * 5)[:1300]
    written = augmentation.augment(many, PARAMETERS.train.augmentation, np.random.default_rng(0))
    assert written.shape == many.shape
    assert written[-1].max() > 100


def test_the_network_has_the_stated_shape_and_size():
    built = network.build(quick(widths=[16, 48, 96], depths=[1, 2, 2]))
    assert built.input_shape == (None, SIDE, SIDE, 1)
    assert built.output_shape == (None, 33)
    # convolutions + normalisation + learned average + output
    convolutions = 9 * (1 * 16 + 16 * 48 + 48 * 48 + 48 * 96 + 96 * 96)
    assert built.count_params() == convolutions + 4 * 304 + (96 * (SIDE // 4) ** 2 + 96) + (
        96 * 33 + 33
    )
    assert network.build(PARAMETERS.train).count_params() <= 600_000


def test_the_network_that_is_trained_computes_what_the_saved_one_does(characters):
    how = quick(depths=[1, 2, 2], dropout=0.0)
    stock = network.build(how)
    quick_one = network.build(how, network._FusedBatchNormalization, network._WeightedAverage)
    rng = np.random.default_rng(0)
    weights = [rng.normal(size=w.shape).astype(np.float32) ** 2 for w in stock.get_weights()]
    stock.set_weights(weights)
    quick_one.set_weights(weights)
    images = characters.images[:64, ..., None].astype(np.float32)
    for training in (False, True):
        expected, found = (np.asarray(n(images, training=training)) for n in (stock, quick_one))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * np.abs(expected).max())
        moving = zip(stock.get_weights(), quick_one.get_weights(), strict=True)
        assert all(np.allclose(a, b, rtol=1e-2) for a, b in moving)


def test_classes_are_balanced_as_asked():
    counts = np.array([100, 400] + [0] * 31)
    assert network.sampling_rates(counts, 0)[:2].tolist() == [0.2, 0.8]
    assert network.sampling_rates(counts, 1)[:2].tolist() == [0.5, 0.5]
    assert network.sampling_rates(counts, 0.5)[:2].tolist() == pytest.approx([1 / 3, 2 / 3])


def test_an_epoch_draws_every_character_before_any_twice(characters):
    batches = network.TrainingBatches(characters, quick(class_balance=0.0), seed=1)
    assert len(batches) == -(-len(characters) // 32)
    rows = batches.rows.tolist()
    assert set(rows) == set(range(len(characters)))
    assert max(map(rows.count, rows)) <= 2
    batches.on_epoch_end()
    assert batches.rows.tolist() != rows


def test_characters_are_shown_as_they_are_as_often_as_asked(characters):
    def unchanged(share: float) -> float:
        """Share of the characters of some batches that are not augmented."""
        how = quick(crossed_out=0.0)
        batches = network.TrainingBatches(characters, how, seed=1, unaugmented_share=share)
        own = characters.images[batches.rows[: 4 * how.batch_size]]
        shown = np.concatenate([batches[at][0] for at in range(4)])[..., 0]
        return float((shown == own).all(axis=(1, 2)).mean())

    assert unchanged(0.0) == 0
    assert 0.3 < unchanged(0.5) < 0.7
    assert unchanged(1.0) == 1


@pytest.fixture(scope="module")
def trained(characters, tmp_path_factory):
    """The same training twice, and once with another seed."""
    made = []
    for number, seed in enumerate((1, 1, 2)):
        network.keras.backend.clear_session()  # layers are numbered anew, as in a new process
        network.keras.utils.set_random_seed(seed)
        folder = tmp_path_factory.mktemp(f"run{number}")
        model, summary = network.fit(
            characters, characters, quick(epochs=2), seed, folder / "history.csv", verbose=0
        )
        network.save(model, folder / "m.keras")
        made.append((folder, model, summary))
    return made


def test_training_is_the_same_to_the_byte_for_the_same_seed(trained):
    first, again, other = ((folder / "m.keras").read_bytes() for folder, _, _ in trained)
    assert first == again
    assert first != other
    assert (trained[0][0] / "history.csv").read_bytes() == (
        trained[1][0] / "history.csv"
    ).read_bytes()


def test_a_network_that_is_trained_further_reads_as_it_did(trained, characters):
    _, model, _ = trained[0]
    copy = network.for_training(model)
    before, after = (network.logits(one, characters.images) for one in (model, copy))
    assert np.abs(before - after).max() < 1e-3
    assert {type(layer) for layer in copy.layers} & {network._FusedBatchNormalization}
    model.set_weights(copy.get_weights())
    assert (network.logits(model, characters.images) == before).all()


def test_training_keeps_the_best_epoch_and_tells_it(trained, characters):
    folder, model, summary = trained[0]
    history = np.genfromtxt(folder / "history.csv", delimiter=",", names=True)
    assert len(history) == summary["epochs"] == 2
    kept = history[history["val_loss"].argmin()]
    assert summary["best_epoch"] == kept["epoch"] + 1
    assert summary["validation_loss"] == pytest.approx(kept["val_loss"], abs=1e-6)
    assert summary["validation_balanced_accuracy"] == pytest.approx(kept["val_accuracy"], abs=1e-6)
    predicted = network.logits(model, characters.images).argmax(axis=1)
    weights = dataset.class_weights(characters.labels)
    assert weights @ (predicted == characters.labels) == pytest.approx(
        kept["val_accuracy"],
        abs=1e-6,
    )


def test_a_saved_network_needs_no_code_of_ours(trained):
    folder, model, _ = trained[0]
    with zipfile.ZipFile(folder / "m.keras") as file:
        assert "vinreader" not in file.read("config.json").decode()
        assert "date_saved" not in json.loads(file.read("metadata.json"))
    loaded = network.load(folder / "m.keras")
    image = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE), np.uint8)
    assert np.array_equal(network.logits(loaded, image), network.logits(model, image))


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 broken", b"text"])
def test_a_damaged_network_is_refused_by_name(tmp_path, content):
    path = tmp_path / "m.keras"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.keras"):
        network.load(path)


def test_the_exported_network_computes_the_same(trained, characters):
    _, model, _ = trained[0]
    expected = network.logits(model, characters.images)
    exported = LiteRT(converting.to_litert(model)).logits(characters.images)
    assert np.abs(exported - expected).max() < 1e-3


@linux
def test_export_without_room_for_temporary_files_says_so(trained):
    import resource

    _, model, _ = trained[0]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as raised:
            converting.to_litert(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == tempfile.gettempdir()


def test_8_bit_weights_compute_nearly_the_same_whatever_is_read_with_an_image(characters):
    keras.utils.set_random_seed(1)
    model = network.build(quick(widths=[16, 48, 96], depths=[1, 2, 2]))
    content = converting.to_litert(model, int8=True)
    assert len(content) < 0.4 * len(converting.to_litert(model))
    images = characters.images[:40]
    int8, expected = LiteRT(content).logits(images), network.logits(model, images)
    assert 0 < np.abs(int8 - expected).max() < 0.1 * expected.std()
    assert np.array_equal(int8, np.concatenate([LiteRT(content).logits(i[None]) for i in images]))
