"""The DVC workflow, run for real in a copy of the project, on a small archive.

By one person first, then by several people, machines and experiments: what DVC shares, and what
must not meet. One file, because tests of one file run in one process and share `small_run`.
"""

import compileall
import csv
import io
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import time

from vintraining.drawing.cards import draw_cards

import psutil
import pytest
import yaml

from conftest import DVC, SMALL, Clone, rows, save_batch, save_card


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
    summary = clone.read_json("metrics/summary.json")
    assert next(iter(summary)) == "accuracy" and summary["accuracy"] == evaluation["accuracy"]
    described = clone.read_json("models/vin-reader.json")
    assert described["parameters"]["train"]["epochs"] == 1
    assert described["source"] == summary["source"] == evaluation["source"]
    assert described["labelled"] == {}
    assert described["missing"] == sorted(described["parameters"]["finetune"]["labelled"]) != []
    assert described["code"].keys() == {"reading", "training"}
    calibration = clone.read_json("models/calibration.json")
    assert described["temperature"] == calibration["temperature"]
    assert described["review_threshold"] == calibration["threshold"]
    assert described["vin_review_threshold"] == calibration["vin_threshold"]
    assert calibration["computed_on"]["characters"].keys() == {"emnist"}
    transfer = clone.read_json("metrics/transfer.json")
    assert list(transfer["sets"]) == ["emnist"]
    assert transfer["sets"]["emnist"]["accuracy"] == evaluation["accuracy"]
    exported = clone.read_json("metrics/export.json")
    assert exported["agreement"] >= 0.98
    assert exported["accuracy"] == evaluation["accuracy"]  # calibrated on what is shipped
    assert exported["weights"] == "int8" and exported["int8_lost"].keys() == {"accuracy", "ece"}
    assert exported["bytes"] == (clone.folder / "models/vin-reader.tflite").stat().st_size
    confusion = rows(clone.folder / "metrics/confusion.csv")
    right = sum(row["actual"] == row["predicted"] for row in confusion) / len(confusion)
    assert right == pytest.approx(evaluation["accuracy"], abs=1e-5)


def test_nothing_in_the_lock_depends_on_this_machine(clone):
    """Neither the way by which data came nor Python's patch version is part of what is hashed."""
    route = clone.read_json("data/route.json")
    assert route["from"] == "local archive"
    for name in ("data/raw/source.json", "models/vin-reader.json"):
        text = (clone.folder / name).read_text()
        assert "local archive" not in text and platform.python_version() not in text


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
    compileall.compile_dir(clone.folder / "stages", quiet=1)  # as by whoever ran any of it
    assert "Running stage" not in clone.dvc("repro")
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_an_experiment_runs_and_is_compared_and_the_way_back_is_cached(clone):
    """Epochs 1, 2, 1: the third run is taken from the run cache."""
    first = clone.read_json("metrics/summary.json")
    clone.dvc("exp", "run", "-q", "-n", "two-epochs", "-S", "train.epochs=2")
    assert clone.read_json("metrics/training/summary.json")["epochs"] == 2
    shown = clone.dvc("metrics", "show")
    assert max(map(len, shown.splitlines())) <= 350
    for name in ("accuracy", "ece", "vin_accepted"):
        assert name in shown
    changed = json.loads(clone.dvc("metrics", "diff", "--json"))
    assert sorted(changed) == ["metrics/summary.json", "metrics/training/summary.json"]
    assert len(clone.dvc("metrics", "diff").splitlines()) <= 25
    table = list(csv.DictReader(io.StringIO(clone.dvc("exp", "show", "--csv"))))
    (row,) = [row for row in table if row["Experiment"] == "two-epochs"]
    assert row["train.epochs"] == "2" and row["accuracy"]
    clone.dvc("plots", "diff", "HEAD", "-o", "plots")
    page = (clone.folder / "plots/index.html").read_text()
    assert all(text in page for text in ("Test characters", "workspace", "val_loss"))
    for name in ("wrong-emnist", "transfer", "coverage"):
        assert list((clone.folder / "plots").rglob(f"*{name}.png"))
    shutil.rmtree(clone.folder / "plots")
    said = clone.dvc("exp", "run", "-S", "train.epochs=1")
    assert "Running stage" not in said and said.count("is cached - skipping run") == 4
    assert clone.read_json("metrics/summary.json") == first
    assert clone.call("git", "status", "--porcelain").stdout == ""


def test_the_exported_model_reads_and_is_released_on_its_merits(clone):
    # A folder without images: the model is loaded, the message is about the folder.
    read = clone.run("predict.py", "models", "--model", "models/vin-reader.tflite")
    assert read.returncode == 2 and "no images" in read.stderr
    released = clone.folder / "models/released/vin-reader.tflite"
    before = released.read_bytes()
    path = clone.folder / "models/vin-reader.json"
    refused = clone.run("vinreader", "release")
    assert refused.returncode == 1
    assert re.search(r"was trained without .*, which finetune\.labelled names", refused.stderr)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"missing": []}))
    refused = clone.run("vinreader", "release")  # a toy model reads worse than the released one
    assert refused.returncode == 1 and "not released" in refused.stderr
    assert released.read_bytes() == before
    shutil.rmtree(released.parent)
    assert clone.run("vinreader", "release").returncode == 0
    assert released.read_bytes() == (clone.folder / "models/vin-reader.tflite").read_bytes()
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
        value = f"evaluate.pairs={number}"
        team.dvc("exp", "run", "--queue", "--name", f"with-{number}", "-S", value)
    # A worker that Celery does not end keeps the output open of who started it: none is given.
    subprocess.run(
        [DVC, "queue", "start", "--jobs", "2"],
        cwd=team.folder,
        env=team.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    end = time.monotonic() + 1800
    while (status := team.dvc("queue", "status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < end, status
        time.sleep(3)  # to ask takes more of the processor than a second
    for process in psutil.process_iter(["cwd"]):
        if process.info["cwd"] == str(team.folder):
            process.kill()
    team.dvc("exp", "branch", "with-2", "two")
    on_branch = team.call("git", "show", "two:params.yaml").stdout
    assert yaml.safe_load(on_branch)["evaluate"]["pairs"] == 2
    team.dvc("exp", "apply", "with-3")
    assert yaml.safe_load((team.folder / "params.yaml").read_text())["evaluate"]["pairs"] == 3
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


def test_checked_cards_teach_without_a_training(team):
    batch = save_batch(team.folder / "data/checked/spring", draw_cards(17, seed=6))
    said = team.dvc("repro", "export")
    for stage in ("split", "train"):
        assert f"Stage '{stage}' didn't change, skipping" in said
    assert "Running stage 'finetune'" in said
    told = team.read_json("metrics/finetune.json")
    assert told["checked_boxes"] > 0
    described = team.read_json("models/vin-reader.json")
    trained = described["archive"]["spring"]["parts"]["train"]
    assert trained == {"images": told["checked_boxes"], "groups": batch.counts()["train"]}
    assert team.read_json("metrics/transfer.json")["sets"].keys() == {"emnist", "checked"}
    calibrated_on = described["calibrated_on"]["characters"]
    assert calibrated_on["checked"] == 17 * batch.counts()["validation"]


def test_with_another_input_size_the_whole_workflow_runs(tmp_path):
    """SIDE stands in one place; the data is small and embedded."""
    clone = Clone(tmp_path)
    clone.take_project()
    spec = tmp_path / "stages/vinreader/spec.py"
    assert spec.read_text().count("SIDE = 28") == 1
    spec.write_text(spec.read_text().replace("SIDE = 28", "SIDE = 32"))
    clone.set(SMALL | {"data.source": "embedded", "data.embedded_per_class": 20})
    stages = yaml.safe_load((tmp_path / "dvc.yaml").read_text())["stages"].values()
    in_one_process = (  # which loads TensorFlow once
        "import runpy, sys; sys.path.insert(0, 'stages')\n"
        "for script in sys.argv[1:]: runpy.run_path(script, run_name='__main__')"
    )
    clone.call(sys.executable, "-c", in_one_process, *(s["cmd"].split()[1] for s in stages))
    save_card(tmp_path / "input", draw_cards(1, seed=6)[0])
    clone.call(sys.executable, "stages/predict.py", "input", "--model", "models/vin-reader.tflite")
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 1 + 17
