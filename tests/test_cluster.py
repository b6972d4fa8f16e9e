"""Reading with Ray, for real: on a cluster of this machine alone."""

import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import psutil
import pytest

from conftest import PROJECT, predict, save_card
from vinreader import Reader, folders
from vinreader.pipeline import read_chunk
from vinreader.spec import UserError

pytest.importorskip("ray", reason="needs Ray (requirements-dev.txt)")
pytest.importorskip("upath", reason="needs universal-pathlib (requirements-dev.txt)")
from vinreader import cluster

RELEASED = PROJECT / "models/released/vin-reader.tflite"
OUTPUTS = ("predictions.csv", "vins.csv", "review.html")
RAY = ("--engine", "ray", "--jobs", "2", "--output", "predictions.csv")


@pytest.fixture(autouse=True)
def memory_of_others_is_no_reason(monkeypatch):
    """Ray ends workers where a machine's memory is nearly full, whoever took it."""
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "0")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Images for three shards: many alike, a card, and a broken one."""
    folder = tmp_path_factory.mktemp("images")
    save_card(folder / "card", draw_cards(1)[0])
    for number in range(2100):
        (folder / f"{number}.png").hardlink_to(folder / f"card/{number % 17 + 1:02}.png")
    (folder / "broken.png").write_bytes(b"broken")
    return folder


@pytest.fixture(scope="module")
def expected(images, tmp_path_factory) -> dict[str, bytes]:
    """What the local engine makes of them."""
    folder = tmp_path_factory.mktemp("local")
    assert predict(images, cwd=folder).returncode == 1
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


def kill_a_worker(of: subprocess.Popen) -> bool:
    """Kills a process of Ray's that is reading for this run; False if none ever was."""
    while of.poll() is None:
        with suppress(psutil.Error):  # it ended while it was looked at
            for process in psutil.Process(of.pid).children(recursive=True):
                if "".join(process.cmdline()).startswith("ray::Map(_read_shard"):
                    process.kill()
                    return True
        time.sleep(0.01)
    return False


def begun(read: Callable[[], subprocess.CompletedProcess]) -> subprocess.CompletedProcess:
    """A reading for which Ray has begun: to do so it gives itself 30 s by the clock, which a busy
    machine may not keep."""
    for _ in range(10):
        result = read()
        if "timed out during startup" not in result.stderr:
            break
    return result


def read_and_kill(images: Path, folder: Path) -> subprocess.CompletedProcess:
    """A reading with Ray, in which a worker is killed."""
    running = subprocess.Popen(
        [sys.executable, PROJECT / "stages/predict.py", images, *RAY],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = kill_a_worker(running)
    said, errors = running.communicate(timeout=1800)
    return subprocess.CompletedProcess(["killed"] * killed, running.returncode, said, errors)


def test_ray_writes_what_the_local_engine_writes_though_a_worker_is_killed(
    images, expected, tmp_path
):
    result = begun(lambda: read_and_kill(images, tmp_path))
    assert result.args == ["killed"] and result.returncode == 1, result.stderr
    assert "2,118 boxes" in result.stdout and "1 cards" in result.stdout
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == expected
    shards = tmp_path / "predictions.parquet/predictions"
    assert len(list(shards.iterdir())) == 3

    # The next run reads what is missing, from a URL as well as from a path.
    first, *others = sorted(shards.iterdir())
    first.unlink()
    before = {path: path.stat().st_mtime_ns for path in others}
    (tmp_path / "predictions.csv").unlink()
    again = begun(lambda: predict(images.as_uri(), *RAY, cwd=tmp_path))
    assert again.returncode == 1, again.stderr
    assert {path: path.stat().st_mtime_ns for path in others} == before
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == expected

    # Nor does it put another reading beside this one.
    refused = predict(images, *RAY, "--threshold", "0.5", cwd=tmp_path)
    assert refused.returncode == 2 and "another folder with --shards" in refused.stderr


def read_shard(reader, plan, root, shards) -> list:
    """Reads a shard as a worker of Ray's does, and what it has saved."""
    model = str(RELEASED), reader.threshold, reader.description["sha256"]
    work = pickle.dumps((model, plan, root, "auto", shards))
    cluster._read_shard({"name": plan.name, "work": work})
    assert cluster._done(shards, [plan]) == {plan.name}
    return list(cluster._load(shards, plan.name))


@pytest.fixture
def shard(images, tmp_path):
    """A shard with a card, read and saved, and how it is read anew."""
    root = tmp_path / "images"
    shutil.copytree(images / "card", root / "card")
    reader = Reader(RELEASED)
    (plan,) = cluster._plan(folders.find_items(root), root, "a")

    def read():
        return read_shard(reader, plan, root, tmp_path)

    return tmp_path, plan, read


def test_an_image_that_has_changed_since_the_start_is_not_read_as_if_it_had_not(shard):
    folder, plan, read = shard
    (folder / "images/card/05.png").write_bytes((folder / "images/card/06.png").read_bytes() + b"0")
    rows = [row for result in read() for row in result.rows]
    assert [row.path for row in rows if row.status == "error"] == ["card/05.png"]
    assert "has changed since the reading began" in rows[4].message
    root = folder / "images"
    (now,) = cluster._plan(folders.find_items(root), root, "a")
    assert now.name != plan.name
    with pytest.raises(UserError, match="a reading of other images"):
        cluster._done(folder, [now])


@pytest.mark.parametrize("table", ["predictions", "vins", "review"])
@pytest.mark.parametrize("damage", ["gone", "cut", "other bits"])
def test_a_shard_that_is_not_whole_is_read_again(shard, table, damage):
    folder, plan, read = shard
    expected = read()
    assert expected[1].vin_row
    file = folder / table / f"{plan.name}.parquet"
    content = file.read_bytes()
    file.unlink()
    if damage != "gone":
        middle = len(content) // 3
        bits = content[:middle] + bytes(b ^ 1 for b in content[middle : middle + 9])
        file.write_bytes(bits + (content[middle + 9 :] if damage == "other bits" else b""))
    assert cluster._done(folder, [plan]) == set()
    with pytest.raises(UserError, match="is damaged"):
        list(cluster._load(folder, plan.name))
    assert read() == expected


def test_a_url_of_an_unknown_kind_is_refused(tmp_path):
    refused = predict("nowhere://x", *RAY, cwd=tmp_path)
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr and "Traceback" not in refused.stderr


def test_a_store_of_objects_is_read_and_written(images, s3, tmp_path, monkeypatch):
    """A bucket as cloud providers have them, here served by this machine."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3)
    some = [*images.glob("card/*"), *images.glob("1?.png"), images / "broken.png"]
    root = cluster.location("s3://vin/cards")
    for path in some:
        local = tmp_path / path.relative_to(images)
        local.parent.mkdir(exist_ok=True)
        shutil.copy(path, local)
        root.fs.put_file(str(path), f"vin/cards/{path.relative_to(images)}")
    reader = Reader(RELEASED)
    shards = cluster.location("s3://vin/read")
    (shard,) = cluster._plan(folders.find_items(root), root, "a")
    results = read_shard(reader, shard, root, shards)
    expected = read_chunk(reader, list(folders.find_items(tmp_path)), tmp_path)
    assert [row for r in results for row in r.rows] == [row for r in expected for row in r.rows]
    vins = [[r.vin_row for r in found if r.vin_row] for found in (results, expected)]
    assert vins[0] == vins[1] and len(vins[0]) == 1
