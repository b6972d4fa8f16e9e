"""Reading with Ray, for real: on a cluster of this machine alone."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from vintraining.drawing.cards import draw_cards

import pytest
from PIL import Image

from conftest import PROJECT, predict
from vinreader import Reader

pytest.importorskip("ray", reason="needs Ray (requirements-dev.txt)")
pytest.importorskip("upath", reason="needs universal-pathlib (requirements-dev.txt)")

RELEASED = PROJECT / "models/released/vin-reader.tflite"
OUTPUTS = ("predictions.csv", "vins.csv", "review.html")
RAY = ("--engine", "ray", "--jobs", "2", "--output", "predictions.csv")


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    """Images for three shards: many alike, a card, and a broken one."""
    folder = tmp_path_factory.mktemp("images")
    card = draw_cards(1)[0]
    (folder / "card").mkdir()
    for number, box in enumerate(card.boxes, start=1):
        Image.fromarray(box).save(folder / f"card/{number}.png")
    for number in range(2100):
        (folder / f"{number}.png").hardlink_to(folder / f"card/{number % 17 + 1}.png")
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
        for place in Path("/proc").glob("[0-9]*"):
            try:
                reading = place.joinpath("cmdline").read_bytes().startswith(b"ray::Map(_read_shard")
                if reading and of.pid in ancestors(int(place.name)):
                    os.kill(int(place.name), signal.SIGKILL)
                    return True
            except OSError:
                continue  # it ended while it was looked at
        time.sleep(0.01)
    return False


def ancestors(pid: int) -> list[int]:
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        found.append(pid)
    return found


def test_ray_writes_what_the_local_engine_writes_though_a_worker_is_killed(
    images, expected, tmp_path
):
    running = subprocess.Popen(
        [sys.executable, PROJECT / "stages/predict.py", images, *RAY],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    killed = kill_a_worker(running)
    said, errors = running.communicate(timeout=600)
    assert killed and running.returncode == 1, errors
    assert "2,118 boxes" in said and "1 cards" in said
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == expected
    shards = tmp_path / "predictions.parquet/predictions"
    assert len(list(shards.iterdir())) == 3

    # The next run reads what is missing, from a URL as well as from a path.
    first, *others = sorted(shards.iterdir())
    first.unlink()
    before = {path: path.stat().st_mtime_ns for path in others}
    (tmp_path / "predictions.csv").unlink()
    again = predict(images.as_uri(), *RAY, cwd=tmp_path)
    assert again.returncode == 1, again.stderr
    assert {path: path.stat().st_mtime_ns for path in others} == before
    assert {name: (tmp_path / name).read_bytes() for name in OUTPUTS} == expected

    # Nor does it put another reading beside this one.
    refused = predict(images, *RAY, "--threshold", "0.5", cwd=tmp_path)
    assert refused.returncode == 2 and "another folder with --shards" in refused.stderr


def test_a_url_of_an_unknown_kind_is_refused(tmp_path):
    refused = predict("nowhere://x", *RAY, cwd=tmp_path)
    assert refused.returncode == 2
    assert "nowhere" in refused.stderr and "Traceback" not in refused.stderr


def test_a_store_of_objects_is_read_and_written(images, s3, tmp_path, monkeypatch):
    """A bucket as cloud providers have them, here served by this machine."""
    from vinreader import cluster, folders
    from vinreader.pipeline import read_chunk

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
    model = str(RELEASED), reader.threshold, reader.description["sha256"]
    work = pickle.dumps((model, shard.items, root, "auto", shards))
    cluster._read_shard({"name": shard.name, "work": work})
    assert cluster._done(shards, [shard]) == {shard.name}
    results = list(cluster._load(shards, shard.name))
    expected = read_chunk(reader, list(folders.find_items(tmp_path)), tmp_path)
    assert [row for r in results for row in r.rows] == [row for r in expected for row in r.rows]
    vins = [[r.vin_row for r in found if r.vin_row] for found in (results, expected)]
    assert vins[0] == vins[1] and len(vins[0]) == 1
