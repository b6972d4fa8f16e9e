"""The reader killed, without space, without permission, its input changed while it is read."""

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import numpy as np
import pytest

from conftest import (
    PROJECT,
    killed_at,
    linux,
    no_file_over,
    rows,
    run_alone,
    run_code,
    save_card,
    unmeasured,
)
from vinreader.files import LEFT, write_text
from vinreader.tables import Row

RESULTS = ("predictions.csv", "vins.csv", "review.html", "predictions.csv.json")


@pytest.fixture(scope="module")
def cards(tmp_path_factory) -> Path:
    """Six cards of box images. To be copied, not changed."""
    folder = tmp_path_factory.mktemp("cards")
    for number, card in enumerate(draw_cards(6, seed=2), start=1):
        save_card(folder / f"{number:03}", card)
    return folder


def start(folder: Path, *arguments: str, python: tuple = (), **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *python, PROJECT / "stages/predict.py", "input", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        **{"env": unmeasured(), **options},
    )


def results(folder: Path) -> dict[str, bytes]:
    return {n: (folder / n).read_bytes() for n in RESULTS if (folder / n).exists()}


@pytest.fixture(scope="module")
def undisturbed(cards, tmp_path_factory) -> dict[str, bytes]:
    """Results of the six cards; the test's folder changes none of their bytes."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "input").symlink_to(cards)
    assert start(folder).wait() == 0
    return results(folder)


@pytest.fixture
def folder(cards, tmp_path) -> Path:
    shutil.copytree(cards, tmp_path / "input")
    return tmp_path


def test_a_killed_reading_leaves_whole_files_and_is_made_up_for(folder, undisturbed):
    """Killed before it writes, and with some of its files in place."""
    change, killed, seen = 0, True, []
    while killed:
        killed = killed_at(change, "predict.py", "input", cwd=folder)
        seen.append(results(folder))
        assert seen[-1].items() <= undisturbed.items()
        change += 11
    assert [*map(len, seen)] == sorted(map(len, seen)) and seen[0] == {} and seen[-1] == undisturbed
    assert any(0 < len(some) < len(undisturbed) for some in seen)


# What is loaded last when it is interrupted: before its own modules, before the reader, while it
# reads. By the clock, a slow machine would still be at Python's own start, which is not ours.
@linux
@pytest.mark.parametrize("moment", ["vinreader", "vinreader.reader", "xlsxwriter"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ended_at_any_moment_it_says_so_and_leaves_all_or_nothing(
    folder, undisturbed, number, moment
):
    process = start(folder, python=("-X", "importtime"))
    loaded = (line.rpartition("|")[2].strip() for line in process.stdout)
    assert moment in loaded
    os.killpg(process.pid, number)
    said, _ = process.communicate()
    assert "Traceback" not in said
    assert process.returncode in (0, 130, -number)
    assert results(folder) == ({} if process.returncode else undisturbed)
    assert not list(folder.glob(".*"))


@linux
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nobody_interrupts_between_two_files(folder, undisturbed, number):
    script = f"""
import os, sys
from vinreader import command
from vinreader.review import Review
write = Review.write
def interrupted(*arguments):
    write(*arguments)
    os.kill(os.getpid(), {int(number)})
Review.write = interrupted
sys.argv = ["predict.py", "input"]
sys.exit(command.main())
"""
    process = run_code(script, cwd=folder)
    assert (process.returncode, process.stderr) == (0, "")
    assert results(folder) == undisturbed


def test_what_a_killed_process_left_is_cleared_after_a_day(tmp_path):
    left, recent = tmp_path / ".x.1.part.json", tmp_path / ".x.2.part.json"
    for path in (left, recent):
        path.write_text("half")
    then = time.time() - LEFT - 1
    os.utime(left, (then, then))
    write_text(tmp_path / "x.json", "whole")
    assert {path.name for path in tmp_path.iterdir()} == {"x.json", recent.name}


@linux
@pytest.mark.parametrize("most", [0, 1000, 5000, 50_000])
def test_a_full_disk_is_one_clear_error_and_changes_nothing(folder, undisturbed, most):
    assert most < len(undisturbed["review.html"])
    old = ",".join(Row._fields)
    (folder / "predictions.csv").write_text(old)
    process = start(folder, **no_file_over(most))
    said, _ = process.communicate()
    assert process.returncode == 2 and "Traceback" not in said
    # With no byte to spare there is no temporary file either.
    why = "File too large" if most else "No usable temporary directory"
    assert why in said and "nothing was changed" in said
    assert results(folder) == {"predictions.csv": old.encode()}
    assert not list(folder.glob(".*"))


@linux
def test_a_full_standard_output_is_an_error_too(folder):
    with Path("/dev/full").open("w") as full:
        process = run_alone(folder, "predict.py", "input", "--format", "ascii", stdout=full)
    assert process.returncode == 2 and "No space left on device" in process.stderr


@linux
def test_a_closed_pipe_is_no_claim_that_nothing_was_changed(folder):
    end, start = os.pipe()
    os.close(end)
    with os.fdopen(start, "w") as closed:
        process = run_alone(folder, "predict.py", "input", stdout=closed)
    assert process.returncode == 2 and len(process.stderr.splitlines()) == 1
    assert "closed" in process.stderr and "nothing was changed" not in process.stderr


@linux
def test_a_stage_on_a_full_disk_names_the_file_and_leaves_no_half_of_it(workspace):
    few = {"data.source": "embedded", "data.embedded_per_class": 20, "data.embedded_writers": 10}
    workspace.set(few)
    full = workspace.run("download.py", **no_file_over(20_000))
    assert full.returncode == 1 and "Traceback" not in full.stderr
    name = "data/raw/train-images.npy"
    assert full.stderr.splitlines()[-1] == f"download: {name}: File too large"
    assert list((workspace.folder / "data/raw").iterdir()) == []
    assert workspace.run("download.py").returncode == 0


def no_privileges() -> None:
    """From now on permissions hold for root, too: two capabilities go (PR_CAPBSET_DROP)."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)


@linux
def test_what_may_not_be_read_has_a_row(folder):
    (folder / "input/001/05.png").chmod(0)
    (folder / "input/002").chmod(0)
    process = start(folder, preexec_fn=no_privileges)
    said, _ = process.communicate()
    (folder / "input/002").chmod(0o700)
    assert process.returncode == 1 and "Traceback" not in said
    boxes = {row["path"]: row for row in rows(folder / "predictions.csv")}
    assert boxes["001/05.png"]["message"] == "no permission to read the file"
    assert len(boxes) == 5 * 17
    cards = {row["card"]: row["message"] for row in rows(folder / "vins.csv")}
    assert cards["002"] == "folder cannot be listed: Permission denied"


@linux
def test_where_nothing_may_be_written_one_error_says_so(folder):
    (folder / "out").mkdir(mode=0o500)
    process = start(folder, "--output", "out/x.csv", preexec_fn=no_privileges)
    said, _ = process.communicate()
    assert process.returncode == 2
    assert "out" in said and "Permission denied; nothing was changed" in said


def test_files_that_change_while_they_are_read_have_rows(folder):
    """Cut off, deleted and written anew at any moment; the images of the first card stay."""
    files = sorted((folder / "input").rglob("*.png"))
    contents = {file: file.read_bytes() for file in files}
    stop = threading.Event()

    def meddle() -> None:
        rng = np.random.default_rng(0)
        while not stop.wait(0.001):
            file = files[rng.integers(17, len(files))]
            match rng.integers(3):
                case 0:
                    file.write_bytes(contents[file][: rng.integers(len(contents[file]))])
                case 1:
                    file.unlink(missing_ok=True)
                case 2:
                    file.write_bytes(contents[file])

    meddler = threading.Thread(target=meddle)
    meddler.start()
    process = start(folder)
    said, _ = process.communicate()
    stop.set()
    meddler.join()
    assert process.returncode in (0, 1) and "Traceback" not in said
    boxes = rows(folder / "predictions.csv")
    assert sum(row["path"].startswith("001/") and bool(row["character"]) for row in boxes) == 17
    assert all(row["message"] for row in boxes if row["status"] == "error")
