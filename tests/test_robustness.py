"""The benchmark of robustness with the released model, on a few characters, and what it says."""

import json
import shutil
from pathlib import Path

from vintraining import parameters
from vintraining.data import dataset, handwriting
from vintraining.drawing import disturbances
from vintraining.drawing.paper import decent_scan

import numpy as np
import pandas as pd
import pytest

from conftest import PROJECT, Workspace
from vinreader.image.pages import open_pages
from vinreader.reader import Reader
from vinreader.spec import CHARACTERS

BENCHMARK = "../benchmarks/robustness.py"


def prepared(folder) -> Workspace:
    """A workspace with two test characters of each class and the released model."""
    workspace = Workspace(folder)
    written, labels, _ = handwriting.write(2, writers=2, seed=12, processes=1)
    characters = dataset.Characters(written, labels)
    dataset.save(folder / "data/characters", "test", characters)
    (folder / "models").mkdir()
    for name in ("vin-reader.tflite", "vin-reader.json", "vin-numbers.json"):
        shutil.copy(PROJECT / "models/released" / name, folder / "models")
    return workspace


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """The workspace's folder after the benchmark, its table, and what it said."""
    workspace = prepared(tmp_path_factory.mktemp("robustness"))
    result = workspace.run(BENCHMARK, "--per-class", 1)
    assert result.returncode == 0, result.stderr
    table = pd.read_csv(workspace.folder / "metrics/robustness.csv", keep_default_na=False)
    return workspace.folder, table, result.stdout


def test_every_strength_of_every_disturbance_has_a_row(measured):
    _, table, _ = measured
    assert list(table.columns) == (
        ["disturbance", "strength", "unit", "decent", "accuracy", "drop", "review"]
    )
    assert table["disturbance"].iloc[0] == "none" and table["drop"].iloc[0] == 0
    for name, told in disturbances.DISTURBANCES.items():
        rows = table[table["disturbance"] == name]
        assert tuple(rows["strength"]) == (*told.decent, *told.beyond)
        assert tuple(rows[rows["decent"]]["strength"]) == told.decent
        assert set(rows["unit"]) == {told.unit}
    assert table["accuracy"].between(0, 1).all() and table["review"].between(0, 1).all()
    expected = 100 * (table["accuracy"].iloc[0] - table["accuracy"])
    assert np.allclose(table["drop"], expected, atol=0.01)
    # The reader does read, and what is beyond decent costs more.
    assert table["accuracy"].iloc[0] > 0.7
    single = table.iloc[1:-1]
    assert single[single["decent"]]["drop"].mean() < single[~single["decent"]]["drop"].mean()


def sample(characters: dataset.Characters, most: int, seed: int) -> dataset.Characters:
    rng = np.random.default_rng(seed)
    return characters[dataset.some_of_each(characters.labels, most, rng)]


def test_the_summary_follows_from_the_table(measured):
    folder, table, told = measured
    said = json.loads((folder / "metrics/robustness.json").read_text())
    decent = table.iloc[1:-1][table.iloc[1:-1]["decent"]]
    assert said["characters"] == 33 and said["accuracy"] == table["accuracy"].iloc[0]
    assert said["decent"]["worst_drop"] == decent["drop"].max()
    assert said["decent"]["mean_drop"] == pytest.approx(decent["drop"].mean(), abs=1e-3)
    assert said["several_at_once"]["accuracy"] == table["accuracy"].iloc[-1]
    name = decent.loc[decent["drop"].idxmax(), "disturbance"]
    assert said["decent"]["worst"].startswith(name) and name in told


def test_characters_without_disturbance_are_read_as_the_reader_reads_them(measured):
    folder, table, _ = measured
    reader = Reader(folder / "models/vin-reader.tflite")
    test = dataset.load(folder / "data/characters", "test")
    readings = reader.read(test.images)
    read = [CHARACTERS.index(reading.character) for reading in readings]
    both = (read == test.labels).reshape(2, 33)  # one of the two of each class was drawn
    assert both.all(axis=0).mean() <= table["accuracy"].iloc[0] <= both.any(axis=0).mean()


def test_the_pictures_are_there(measured):
    for name in ("robustness.png", "disturbances.png"):
        (page,) = open_pages(measured[0] / "metrics" / name)
        assert min(page.shape) > 500 and np.ptp(page) > 200


def test_the_same_on_one_process_and_whichever_cases_are_asked_for(measured, monkeypatch):
    folder, table, _ = measured
    expected = table.iloc[[0, 8, 14, -1]]
    monkeypatch.chdir(folder)
    cases = [disturbances.all_cases()[at] for at in (0, 8, 14, -1)]
    monkeypatch.setattr(disturbances, "all_cases", lambda: cases)
    seed = parameters.load().seed
    characters = sample(dataset.load(Path("data/characters"), "test"), 1, seed)
    table = disturbances.measure(Path("models/vin-reader.tflite"), characters, seed, processes=1)
    assert table.equals(expected.reset_index(drop=True))


def test_the_sample_has_as_many_of_each_class_as_there_are(measured):
    test = dataset.load(measured[0] / "data/characters", "test")
    assert (sample(test, 1, 0).counts() == 1).all()
    assert (sample(test, 5, 0).counts() == 2).all()
    first, again, other = (sample(test, 1, seed).images for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)


def test_no_decent_scan_is_worse_than_the_table_says():
    rng = np.random.default_rng(0)
    hows = [decent_scan(rng) for _ in range(500)]
    for name, disturbance, key in (
        ("rotated box", max, "rotation"),
        ("wide cut", max, "neighbours"),
        ("neighbours' strokes", max, "strokes"),
        ("broken border", max, "broken"),
        ("noise", max, "noise"),
        ("fibres", max, "texture"),
        ("shading", max, "shading"),
        ("faint ink", min, "ink"),
    ):
        kind = disturbances.DISTURBANCES[name]
        limit = getattr(kind.at(kind.decent[-1]), key)
        assert disturbance([limit, *(getattr(how, key) for how in hows)]) == limit
        assert len({getattr(how, key) for how in hows}) > 50


def test_without_a_model_it_says_what_to_do(tmp_path):
    workspace = prepared(tmp_path)
    (tmp_path / "models/vin-reader.json").unlink()
    result = workspace.run(BENCHMARK, "--per-class", 1)
    assert result.returncode == 1 and "vin-reader.json" in result.stderr
    assert "Traceback" not in result.stderr and not (tmp_path / "metrics").exists()
