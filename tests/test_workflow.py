"""The DVC workflow, run for real in a copy of the project, on a small archive.

By one person first, then by several people, machines and experiments: what DVC shares, and what
must not meet. One file, because tests of one file run in one process and share `small_run`.
"""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import time

from vintraining.drawing.cards import draw_cards
from vintraining.hands import batches

import cv2
import pytest
import yaml

from conftest import DVC, Clone


@pytest.fixture(scope="module")
def clone(small_run, tmp_path_factory) -> Clone:
    return small_run.copy(tmp_path_factory.mktemp("workflow"))


@pytest.fixture(scope="module")
def team(small_run, tmp_path_factory) -> Clone:
    return small_run.copy(tmp_path_factory.mktemp("team"))


def test_the_workflow_leaves_everything_it_promises(clone):
    evaluation = clone.read_json("metrics/evaluation.json")
    assert {"accuracy", "balanced_accuracy", "top2_accuracy", "ece", "recall"} <= set(evaluation)
    assert evaluation["images"] == 33 * 6 and len(evaluation["recall"]) == 33
    assert "emnist" in evaluation["source"]
    card = clone.read_json("models/vin-reader.json")
    assert card["parameters"]["train"]["epochs"] == 1 and card["source"] == evaluation["source"]
    assert card["labelled"] == {}
    transfer = clone.read_json("metrics/transfer.json")
    assert list(transfer["sets"]) == ["emnist"]
    assert list(transfer["thresholds"]) == ["emnist", "together"]
    assert transfer["sets"]["emnist"]["accuracy"] == evaluation["accuracy"]
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
    assert not [
        name
        for name in tracked
        if name.startswith(("data/", "metrics/pictures/"))
        and not name.endswith((".gitkeep", ".gitignore"))
    ]
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
    for name in ("wrong-emnist", "transfer", "robustness", "disturbances"):
        assert list((clone.folder / "plots").rglob(f"*{name}.png"))


def test_the_exported_model_reads_and_is_released_on_its_merits(clone):
    read = clone.run(
        "predict.py", "models", "--model", "models/vin-reader.tflite"
    )  # a folder without images: the model is loaded, the message is about the folder
    assert read.returncode == 2 and "no images" in read.stderr
    released = clone.folder / "models/released/vin-reader.tflite"
    before = released.read_bytes()
    refused = clone.run("vinreader", "release")  # a toy model reads worse than the released one
    assert refused.returncode == 1 and "not released" in refused.stderr
    assert released.read_bytes() == before
    shutil.rmtree(released.parent)
    assert clone.run("vinreader", "release").returncode == 0
    assert released.read_bytes() == (clone.folder / "models/vin-reader.tflite").read_bytes()
    path = clone.folder / "models/vin-reader.json"
    path.write_text(path.read_text().replace("emnist", "embedded"))
    refused = clone.run("vinreader", "release")
    assert refused.returncode == 1 and "EMNIST" in refused.stderr


def test_what_one_pushes_another_pulls_and_need_not_make_again(team, s3, tmp_path):
    team.dvc("remote", "add", "--default", "folder", tmp_path / "store")
    team.dvc("remote", "add", "bucket", "s3://vin/cache")
    team.dvc("remote", "modify", "bucket", "endpointurl", s3)
    team.call("git", "commit", "-q", "-a", "-m", "remotes")
    team.dvc("push")
    team.dvc("push", "--remote", "bucket")
    team.call("git", "clone", "-q", team.folder, tmp_path / "colleague")
    colleague = Clone(tmp_path / "colleague")
    for source in ("folder", "bucket"):
        for place in (".dvc/cache", "data/raw", "data/split", "models/vin-reader.keras"):
            path = colleague.folder / place
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)
        colleague.dvc("pull", "--remote", source)
        for name in ("models/vin-reader.keras", "data/split/train-images.npy"):
            pulled = (colleague.folder / name).read_bytes()
            assert pulled == (team.folder / name).read_bytes()
    assert "Running stage" not in colleague.dvc("repro")
    assert colleague.call("git", "status", "--porcelain").stdout == ""


def test_two_workers_run_the_queue_and_an_experiment_is_taken_over(team):
    for number in (2, 3):
        value = f"robustness.per_class={number}"
        team.dvc("exp", "run", "--queue", "--name", f"with-{number}", "-S", value)
    team.dvc("queue", "start", "--jobs", "2")
    end = time.monotonic() + 300
    while (status := team.dvc("queue", "status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < end, status
        time.sleep(1)
    team.dvc("exp", "branch", "with-2", "two")
    on_branch = team.call("git", "show", "two:params.yaml").stdout
    assert yaml.safe_load(on_branch)["robustness"]["per_class"] == 2
    team.dvc("exp", "apply", "with-3")
    assert yaml.safe_load((team.folder / "params.yaml").read_text())["robustness"]["per_class"] == 3
    assert "Running stage" not in team.dvc("repro")
    team.call("git", "commit", "-q", "-a", "-m", "took with-3 over")


def test_two_runs_in_one_workspace_do_not_meet(team):
    options = {
        "cwd": team.folder,
        "env": team.environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    command = [DVC, "repro", "--force", "--single-item", "filter"]
    before = {name: (team.folder / name).read_bytes() for name in ("dvc.lock", "params.yaml")}
    first = subprocess.Popen(command, start_new_session=True, **options)
    for line in first.stdout:
        if "Running stage" in line:
            break
    os.killpg(first.pid, signal.SIGSTOP)  # so that it runs for as long as the second one tries
    second = subprocess.run(command, **options)
    os.killpg(first.pid, signal.SIGCONT)
    assert second.returncode != 0 and "Traceback" not in second.stdout
    assert re.search("lock|busy", second.stdout)
    first.communicate()
    assert first.returncode == 0
    assert all((team.folder / name).read_bytes() == old for name, old in before.items())
    assert "Running stage" not in team.dvc("repro")


def test_checked_cards_teach_without_a_training(small_run, tmp_path):
    clone = small_run.copy(tmp_path)
    with batches.Batch(clone.folder / "data/labelled/spring", 0.5) as batch:
        for number, card in enumerate(draw_cards(17, seed=6)):
            files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in card.boxes)
            scan = batches.Scan(f"{number}", (), files)
            batch.add(batches.Checked(scan.name, card.vin), scan)
        batch.write()
    said = clone.dvc("repro", "export")
    for stage in ("split", "train", "finetune"):
        assert f"Stage '{stage}' didn't change, skipping" in said
    assert "Running stage 'adapt'" in said
    told = clone.read_json("metrics/adapt.json")
    assert told["level"] == "bias" and 0 < told["boxes"] < 300
    described = clone.read_json("models/vin-reader.json")
    assert described["archive"]["spring"]["cards"]["train"] == batch.counts()["train"]
    assert "archive" not in described["calibrated_on"]["boxes"]  # a few cards are too few
    assert clone.read_json("metrics/transfer.json")["sets"].keys() == {"emnist", "archive"}
