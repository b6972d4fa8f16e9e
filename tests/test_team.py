"""Several people, machines and experiments: what DVC shares, and what must not meet."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest
import yaml

from conftest import DVC, Clone


@pytest.fixture(scope="module")
def clone(small_run, tmp_path_factory) -> Clone:
    return small_run.copy(tmp_path_factory.mktemp("team"))


def test_what_one_pushes_another_pulls_and_need_not_make_again(clone, s3, tmp_path):
    clone.dvc("remote", "add", "--default", "folder", tmp_path / "store")
    clone.dvc("remote", "add", "bucket", "s3://vin/cache")
    clone.dvc("remote", "modify", "bucket", "endpointurl", s3)
    clone.call("git", "commit", "-q", "-a", "-m", "remotes")
    clone.dvc("push")
    clone.dvc("push", "--remote", "bucket")
    clone.call("git", "clone", "-q", clone.folder, tmp_path / "colleague")
    colleague = Clone(tmp_path / "colleague")
    for source in ("folder", "bucket"):
        for place in (".dvc/cache", "data/raw", "data/split", "models/vin-reader.keras"):
            path = colleague.folder / place
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(True)
        colleague.dvc("pull", "--remote", source)
        for name in ("models/vin-reader.keras", "data/split/train-images.npy"):
            pulled = (colleague.folder / name).read_bytes()
            assert pulled == (clone.folder / name).read_bytes()
    assert "Running stage" not in colleague.dvc("repro")
    assert colleague.call("git", "status", "--porcelain").stdout == ""


def test_two_workers_run_the_queue_and_an_experiment_is_taken_over(clone):
    for number in (2, 3):
        value = f"robustness.per_class={number}"
        clone.dvc("exp", "run", "--queue", "--name", f"with-{number}", "-S", value)
    clone.dvc("queue", "start", "--jobs", "2")
    end = time.monotonic() + 300
    while (status := clone.dvc("queue", "status")).count("Success") < 2:
        assert "Failed" not in status and time.monotonic() < end, status
        time.sleep(1)
    clone.dvc("exp", "branch", "with-2", "two")
    on_branch = clone.call("git", "show", "two:params.yaml").stdout
    assert yaml.safe_load(on_branch)["robustness"]["per_class"] == 2
    clone.dvc("exp", "apply", "with-3")
    assert (
        yaml.safe_load((clone.folder / "params.yaml").read_text())["robustness"]["per_class"] == 3
    )
    assert "Running stage" not in clone.dvc("repro")
    clone.call("git", "commit", "-q", "-a", "-m", "took with-3 over")


def test_two_runs_in_one_workspace_do_not_meet(clone):
    options = {
        "cwd": clone.folder,
        "env": clone.environment,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.STDOUT,
        "text": True,
    }
    command = [DVC, "repro", "--force", "--single-item", "filter"]
    before = {name: (clone.folder / name).read_bytes() for name in ("dvc.lock", "params.yaml")}
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
    assert all((clone.folder / name).read_bytes() == old for name, old in before.items())
    assert "Running stage" not in clone.dvc("repro")
