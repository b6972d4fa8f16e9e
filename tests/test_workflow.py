"""The DVC workflow, run for real in a copy of the project, on a small archive."""

import csv
import io
import json
import shutil

import pytest

from conftest import Clone


@pytest.fixture(scope="module")
def clone(small_run, tmp_path_factory) -> Clone:
    return small_run.copy(tmp_path_factory.mktemp("workflow"))


def test_the_workflow_leaves_everything_it_promises(clone):
    evaluation = clone.read_json("metrics/evaluation.json")
    assert {"accuracy", "balanced_accuracy", "top2_accuracy", "ece", "recall"} <= set(evaluation)
    assert evaluation["images"] == 33 * 6 and len(evaluation["recall"]) == 33
    assert "emnist" in evaluation["source"]
    card = clone.read_json("models/vin-reader.json")
    assert card["parameters"]["train"]["epochs"] == 1 and card["source"] == evaluation["source"]
    exported = clone.read_json("metrics/export.json")
    assert exported["agreement"] >= 0.98
    assert abs(exported["accuracy"] - evaluation["accuracy"]) <= 0.02
    lost = exported["int8_lost"]
    assert exported["weights"] == ("int8" if max(lost.values()) <= 0.001 else "float32")
    assert exported["bytes"] == (clone.folder / "models/vin-reader.tflite").stat().st_size
    robustness = clone.read_json("metrics/robustness.json")
    assert robustness["characters"] == 33 and robustness["source"] == evaluation["source"]
    with (clone.folder / "metrics/confusion.csv").open() as file:
        rows = list(csv.DictReader(file))
    right = sum(row["actual"] == row["predicted"] for row in rows) / len(rows)
    assert right == pytest.approx(evaluation["accuracy"], abs=1e-5)


def test_no_dataset_image_and_no_model_is_in_git(clone):
    tracked = clone.call("git", "ls-files").stdout.split()
    assert not [name for name in tracked if name.startswith(("data/", "metrics/pictures/"))
                and not name.endswith((".gitkeep", ".gitignore"))]  # fmt: skip
    assert not [name for name in tracked if name.endswith(".keras")]


def test_a_second_repro_does_nothing(clone):
    assert "Running stage" not in clone.dvc("repro")
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_an_experiment_runs_and_is_compared(clone):
    clone.dvc("exp", "run", "-q", "-n", "two-epochs", "-S", "train.epochs=2")
    assert clone.read_json("metrics/training/summary.json")["epochs"] == 2
    shown = clone.dvc("metrics", "show")
    for name in ("balanced_accuracy", "recall.A", "agreement", "best_epoch", "worst_drop"):
        assert name in shown
    changed = json.loads(clone.dvc("metrics", "diff", "--json"))
    assert changed["metrics/training/summary.json"]["epochs"] == {"old": 1, "new": 2, "diff": 1}
    assert changed["metrics/evaluation.json"]
    assert changed["metrics/confusion.json"]
    assert len(clone.dvc("metrics", "diff").splitlines()) < 100
    table = list(csv.DictReader(io.StringIO(clone.dvc("exp", "show", "--csv"))))
    (row,) = [row for row in table if row["Experiment"] == "two-epochs"]
    assert row["train.epochs"] == "2"
    clone.dvc("plots", "diff", "HEAD", "-o", "plots")
    page = (clone.folder / "plots/index.html").read_text()
    assert all(text in page for text in ("Test characters", "workspace", "val_loss"))
    for name in ("confident-errors", "robustness", "disturbances"):
        assert list((clone.folder / "plots").rglob(f"*{name}.png"))


def test_the_exported_model_reads_and_is_released_on_its_merits(clone):
    read = clone.run(
        "predict.py", "models", "--model", "models/vin-reader.tflite"
    )  # a folder without images: the model is loaded, the message is about the folder
    assert read.returncode == 2 and "no images" in read.stderr
    released = clone.folder / "models/released/vin-reader.tflite"
    before = released.read_bytes()
    refused = clone.run("release.py")  # a toy model reads worse than the released one
    assert refused.returncode == 1 and "not released" in refused.stderr
    assert released.read_bytes() == before
    shutil.rmtree(released.parent)
    assert clone.run("release.py").returncode == 0
    assert released.read_bytes() == (clone.folder / "models/vin-reader.tflite").read_bytes()
    path = clone.folder / "models/vin-reader.json"
    path.write_text(path.read_text().replace("emnist", "embedded"))
    refused = clone.run("release.py")
    assert refused.returncode == 1 and "EMNIST" in refused.stderr
