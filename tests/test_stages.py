"""Filter and split on small data, and what dvc.yaml says the stages use."""

import ast
import json
from pathlib import Path

from vintraining.data import dataset, emnist, handwriting

import numpy as np
import pandas as pd
import pytest
import yaml

from conftest import PROJECT, pixels
from vinreader.files import sha256
from vinreader.image.boxes import normalise_batch
from vinreader.spec import CHARACTERS

# Modules through which a stage reads its parameters, reports and writes; what it computes does not
# depend on them, so a change in them need not run a training again.
PLUMBING = {"console", "files", "images", "parameters", "processes", "section", "tables"}


def put_raw(workspace, split: str, train: dict, test: dict) -> None:
    """data/raw with the given (images upright, ASCII text) parts."""
    raw = workspace.folder / "data/raw"
    raw.mkdir(parents=True)
    (raw / "source.json").write_text('{"source": "emnist"}')
    (raw / emnist.mapping_member(split)).write_text(emnist.mapping_text(split))
    for part, (images, text) in (("train", train), ("test", test)):
        labels = np.array([emnist.CLASSES[split].index(c) for c in text], np.uint8)
        (raw / emnist.images_member(split, part)).write_bytes(
            emnist.encode_idx(emnist.turned(images))
        )
        (raw / emnist.labels_member(split, part)).write_bytes(emnist.encode_idx(labels))


def noise(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 28, 28), dtype=np.uint8)


def test_filter_keeps_the_33_characters_upright_and_each_image_once(workspace):
    text = CHARACTERS * 3 + "IOQoac"
    train, test = noise(len(text), 1), noise(len(CHARACTERS), 2)
    train[1] = train[0]  # twice in train
    train[2] = test[5]  # in train and in test: it stays in test
    put_raw(workspace, "byclass", (train, text), (test, CHARACTERS))
    workspace.set({"filter.fold": "c"})
    result = workspace.run_here("filter.py")
    assert result.returncode == 0, result.stderr
    folder = workspace.folder / "data/characters"
    kept = dataset.load(folder, "train")
    assert np.array_equal(dataset.load(folder, "test").images, test)
    assert len(kept) == 3 * 33 - 2 + 1  # two duplicates go, c counts as C
    assert np.array_equal(kept.images[:2], train[[0, 3]])
    assert np.array_equal(kept.images[-1], train[-1])
    assert kept.labels[-1] == CHARACTERS.index("C")
    assert np.load(folder / "train-folded.npy").nonzero()[0].tolist() == [len(kept) - 1]
    counts = pd.read_csv(workspace.folder / "metrics/characters.csv", index_col="character")
    assert counts.loc["C"].to_dict() == {"test": 1, "train": 4, "folded": 1}
    assert counts["train"].sum() == len(kept)


def test_the_embedded_handwriting_goes_through_filter_as_it_was_written(workspace):
    workspace.set({"data.source": "embedded", "data.embedded_per_class": 20})
    for script in ("download.py", "filter.py"):
        result = workspace.run_here(script)
        assert result.returncode == 0, result.stderr
    told = json.loads((workspace.folder / "data/raw/source.json").read_text())
    assert told["source"] == "embedded" and told["official"] is False
    for name, digest in told["sha256"].items():
        assert sha256(workspace.folder / "data/raw" / name) == digest
    folder = workspace.folder / "data/characters"
    kept = dataset.load(folder, "train")
    images, labels, writers = handwriting.write(20, writers=600, seed=1981)
    assert np.array_equal(kept.images, images) and np.array_equal(kept.labels, labels)
    assert np.array_equal(np.load(folder / "train-writers.npy"), writers)
    assert not np.load(folder / "train-folded.npy").any()
    assert len(dataset.load(folder, "test")) == 4 * 33


@pytest.mark.parametrize("split", ["balanced", "byclass"])
def test_filter_names_a_class_without_images(workspace, split):
    put_raw(workspace, split, (noise(32, 1), CHARACTERS[1:]), (noise(33, 2), CHARACTERS))
    workspace.set({"data.split": split})
    result = workspace.run_here("filter.py")
    assert result.returncode == 1 and "no image of 0" in result.stderr


def test_filter_refuses_labels_that_the_mapping_lacks(workspace):
    put_raw(workspace, "balanced", (noise(33, 1), CHARACTERS), (noise(33, 2), CHARACTERS))
    path = workspace.folder / "data/raw" / emnist.mapping_member("balanced")
    path.write_text(path.read_text().replace("7 55\n", ""))
    workspace.set({"data.split": "balanced"})
    result = workspace.run_here("filter.py")
    assert result.returncode == 1 and "labels [7]" in result.stderr


@pytest.fixture(scope="module")
def handwritten() -> dict[str, tuple]:
    """Images, labels and writers of each part."""
    return {
        "train": handwriting.write(40, writers=20, seed=1),
        "test": handwriting.write(5, writers=5, seed=1, first_writer=100),
    }


@pytest.fixture
def characters(workspace, handwritten):
    """A workspace after the filter stage: 40 characters a class, the last 165 of all folded."""
    folder = workspace.folder / "data/characters"
    for part, (images, labels, _) in handwritten.items():
        dataset.save(folder, part, dataset.Characters(images, labels))
    np.save(folder / "train-folded.npy", np.arange(33 * 40) >= 33 * 35)
    workspace.set({"split.embedded_share": 0.0})
    return workspace


def parts(workspace) -> dict[str, dataset.Characters]:
    folder = workspace.folder / "data/split"
    return {part: dataset.load(folder, part) for part in ("train", "validation", "test")}


def seen(raw: np.ndarray) -> set[bytes]:
    """The images as the network sees them."""
    return {image.tobytes() for image in normalise_batch(raw)}


def test_split_is_stratified_disjoint_and_keeps_the_test_part(characters):
    assert characters.run_here("split.py").returncode == 0
    made = parts(characters)
    assert set(made["validation"].counts()) <= {3, 4}  # a tenth of the 35 that are not folded
    assert len(made["train"]) + len(made["validation"]) == 33 * 40
    folder = characters.folder / "data/characters"
    assert pixels(made["test"]) == seen(dataset.load(folder, "test").images)
    assert not pixels(made["train"]) & pixels(made["validation"])
    assert not pixels(made["test"]) & (pixels(made["train"]) | pixels(made["validation"]))
    folded = dataset.load(folder, "train")[np.load(folder / "train-folded.npy")]
    assert seen(folded.images) <= pixels(made["train"])


def test_split_follows_the_seed_and_the_cap(characters):
    made = []
    for seed, cap in ((1, 10), (1, 10), (2, 10)):
        characters.set({"seed": seed, "split.cap": cap})
        assert characters.run_here("split.py").returncode == 0
        made.append(parts(characters))
    assert (made[0]["train"].counts() == 10).all()
    assert pixels(made[0]["validation"]) == pixels(made[1]["validation"])
    assert np.array_equal(made[0]["train"].images, made[1]["train"].images)
    assert pixels(made[0]["validation"]) != pixels(made[2]["validation"])


def test_embedded_handwriting_joins_the_training_characters_only(characters):
    characters.run_here("split.py")
    without = parts(characters)
    characters.set({"split.embedded_share": 0.2})
    assert characters.run_here("split.py").returncode == 0
    made, count = parts(characters), len(without["train"])
    assert np.array_equal(made["train"].images[:count], without["train"].images)
    added = made["train"][np.arange(len(made["train"])) >= count]
    assert len(added) / len(made["train"]) == pytest.approx(0.2, abs=0.01)
    assert np.ptp(added.counts()) == 0
    assert all(pixels(made[p]) == pixels(without[p]) for p in ("validation", "test"))


def test_split_keeps_writers_apart(characters, handwritten):
    _, _, writers = handwritten["train"]
    np.save(characters.folder / "data/characters/train-writers.npy", writers)
    assert characters.run_here("split.py").returncode == 0
    pool = dataset.load(characters.folder / "data/characters", "train")
    known = zip(normalise_batch(pool.images), writers, strict=True)
    writer_of = {image.tobytes(): writer for image, writer in known}
    made = parts(characters)
    train, validation = (
        {writer_of[image] for image in pixels(made[part])} for part in ("train", "validation")
    )
    assert len(validation) == 2 and not train & validation


def test_a_stage_without_its_input_says_what_to_run(workspace):
    result = workspace.run_here("split.py")
    assert result.returncode == 1 and "dvc repro" in result.stderr


STAGES = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]


def modules_used(script: Path) -> set[Path]:
    """Modules of both packages that a stage imports, and those that they import."""
    found: set[Path] = set()
    waiting = [script, PROJECT / "stages/vintraining/__init__.py"]
    while waiting:
        for node in ast.walk(ast.parse(waiting.pop().read_text())):
            if isinstance(node, ast.ImportFrom) and node.module:
                folder = PROJECT / "stages" / node.module.replace(".", "/")
                modules = {folder.with_suffix(".py")} | {
                    folder / f"{alias.name}.py" for alias in node.names
                }
                fresh = {m for m in modules if m.is_file() and m.stem not in PLUMBING} - found
                found |= fresh
                waiting += fresh
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_dvc_tracks_every_module_that_a_stage_computes_with(stage):
    script = PROJECT / STAGES[stage]["cmd"].split()[1]
    used = {script, *modules_used(script)}
    tracked = {PROJECT / d for d in STAGES[stage]["deps"] if d.startswith("stages")}
    assert not [m for m in used if tracked.isdisjoint({m, *m.parents})]
    assert not [d for d in tracked if not any(d in {m, *m.parents} for m in used)]


def test_a_training_does_not_depend_on_reading_finetuning_or_evaluating():
    tracked = set(STAGES["train"]["deps"])
    assert tracked == {
        "stages/train.py",
        "stages/vinreader/spec.py",
        "stages/vintraining/data/dataset.py",
        "stages/vintraining/model",
        "data/split",
    }


def test_every_parameter_reaches_a_stage():
    named = {name.split(".")[0] for stage in STAGES.values() for name in stage.get("params", [])}
    assert named == set(yaml.safe_load((PROJECT / "params.yaml").read_text()))
