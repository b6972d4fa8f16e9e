"""predict.py as clerks and programs use it, with the released reader."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from vintraining.data import dataset, emnist, handwriting
from vintraining.drawing.cards import draw_cards

import numpy as np
import pytest
from PIL import Image

from conftest import PROJECT, SHARED, predict, predict_here, rows, run_code, save_card
from vinreader import Reader
from vinreader.image.boxes import normalise_batch
from vinreader.spec import CHARACTERS
from vinreader.tables import Row, VinRow

needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux")
RELEASED = PROJECT / "models/released/vin-reader.tflite"


@pytest.fixture(scope="module")
def written() -> dict[str, np.ndarray]:
    """One image of each character, dark on light."""
    images, labels, _ = handwriting.write(per_class=1, writers=1, seed=12)
    return {CHARACTERS[label]: 255 - image for image, label in zip(images, labels, strict=True)}


@pytest.fixture
def folder(tmp_path, written) -> Path:
    """input/ with an A in every format, mode, size and polarity, and with things that are none."""
    place = tmp_path / "input"
    (place / "deep" / "er").mkdir(parents=True)
    image = Image.fromarray(written["A"]).resize((84, 84), Image.Resampling.BICUBIC)
    for ending in ("png", "jpg", "bmp", "tif", "webp", "gif"):
        image.save(place / f"a10.{ending}")
    image.convert("RGBA").save(place / "a9.png")
    image.convert("1").save(place / "deep/one-bit.png")
    image.convert("CMYK").save(place / "deep/er/cmyk.jpg")
    Image.fromarray(255 - np.asarray(image)).save(place / "inverted.png")
    image.save(place / "pages.tif", save_all=True, append_images=[image])
    image.save(place / "no-ending", format="PNG")
    shutil.copy(place / "a10.jpg", place / "wrongly-named.png")
    (place / "notes.txt").write_text("no image")
    (place / ".DS_Store").write_bytes(b"\x00\x00\x00\x01Bud1")
    return place


def test_every_format_mode_and_polarity_is_read(folder, tmp_path):
    result = predict("input", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    table = rows(tmp_path / "predictions.csv")
    assert tuple(table[0]) == Row._fields
    assert [row["path"] for row in table] == [
        *(f"a{n}" for n in ("9.png", "10.bmp", "10.gif", "10.jpg", "10.png", "10.tif", "10.webp")),
        "deep/er/cmyk.jpg",
        "deep/one-bit.png",
        "inverted.png",
        "no-ending",
        "pages.tif#page=1",
        "pages.tif#page=2",
        "wrongly-named.png",
    ]
    for row in table:
        assert (row["character"], row["ascii"]) == ("A", "065"), row
        assert 0 < float(row["runner_up_confidence"]) < float(row["confidence"]) <= 1
        assert row["status"] in ("ok", "review") and row["runner_up"] in CHARACTERS
    assert result.stderr == ""  # no notes of LiteRT's
    assert "14 boxes" in result.stdout and "predictions.csv" in result.stdout
    assert "trained on emnist" in result.stdout


def test_unreadable_images_get_a_row_that_says_why(folder, tmp_path):
    good = (folder / "a10.png").read_bytes()
    (folder / "truncated.png").write_bytes(good[: len(good) // 2])
    (folder / "zero.png").write_bytes(b"")
    (folder / "text.jpg").write_text("this is no image")
    result = predict("input", cwd=tmp_path)
    assert result.returncode == 1
    assert "3 unreadable" in result.stdout and "Traceback" not in result.stderr
    bad = [row for row in rows(tmp_path / "predictions.csv") if row["status"] == "error"]
    assert [row["path"] for row in bad] == ["text.jpg", "truncated.png", "zero.png"]
    assert all(row["message"] and not row["character"] and not row["ascii"] for row in bad)


def test_ascii_lines_go_to_standard_output(folder, tmp_path):
    (folder / "zero.png").write_bytes(b"")
    result = predict("input", "--format", "ascii", cwd=tmp_path)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "065, a9.png" and len(lines) == 14
    assert all(line.startswith("065, ") for line in lines)
    assert "zero.png: the file is empty" in result.stderr
    assert not (tmp_path / "predictions.csv").exists()


def test_one_image_instead_of_a_folder(folder, tmp_path):
    result = predict_here("input/a9.png", "--output", "one.csv", cwd=tmp_path)
    assert result.returncode == 0
    assert [row["path"] for row in rows(tmp_path / "one.csv")] == ["a9.png"]
    # An image by itself leaves no page.
    assert {path.name for path in tmp_path.iterdir()} == {"input", "one.csv", "one.csv.json"}


def test_the_threshold_decides_what_is_doubtful(folder, tmp_path):
    for threshold, status in (("1", "review"), ("0", "ok")):
        predict_here("input", "--threshold", threshold, cwd=tmp_path)
        assert {row["status"] for row in rows(tmp_path / "predictions.csv")} == {status}


def test_an_empty_box_is_no_character(tmp_path):
    (tmp_path / "input").mkdir()
    Image.new("L", (60, 60), 230).save(tmp_path / "input/empty.png")
    assert predict_here("input", cwd=tmp_path).returncode == 0
    (row,) = rows(tmp_path / "predictions.csv")
    assert (row["character"], row["status"], row["message"]) == ("", "review", "no ink")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing"], "missing: no such folder or image"),
        (["empty"], "there are no images in this folder"),
        (["texts"], "there are no images in this folder"),
        (["input", "--model", "none.tflite"], "none.json"),
        (["input", "--model", "foreign.tflite"], "does not describe a VIN reader"),
        (["input", "--model", "tampered.tflite"], "is not the model that"),
        (["input", "--model", "broken.tflite"], "not a VIN reader's model"),
        (["input", "--threshold", "2"], "--threshold"),
        (["input", "--output", "empty"], "is a folder"),
        (["input", "--output", "texts/readme.txt/x.csv"], "readme.txt"),
    ],
)
def test_what_cannot_run_says_why_and_changes_nothing(folder, tmp_path, arguments, says):
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/readme.txt").write_text("text")
    card = json.loads(RELEASED.with_suffix(".json").read_text())
    content = RELEASED.read_bytes()
    broken = b"not a flatbuffer"
    for name, model, description in (
        ("foreign", content, {"name": "another model"}),
        ("tampered", content[:-1] + b"!", card),
        ("broken", broken, card | {"sha256": hashlib.sha256(broken).hexdigest()}),
    ):
        (tmp_path / f"{name}.tflite").write_bytes(model)
        (tmp_path / f"{name}.json").write_text(json.dumps(description))
    old = ",".join(Row._fields)
    (tmp_path / "predictions.csv").write_text(old)
    result = predict_here(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert says in result.stderr and "Traceback" not in result.stderr
    assert (tmp_path / "predictions.csv").read_text() == old
    assert not list(tmp_path.glob(".predictions*"))


def test_reading_never_imports_tensorflow_or_pandas(folder, tmp_path):
    code = (
        "import sys; from vinreader.command import main; main(sys.argv[1:]);"
        "sys.exit(bool({'tensorflow', 'pandas', 'dvc', 'scipy', 'requests'} & set(sys.modules)))"
    )
    result = run_code(code, folder, cwd=tmp_path)
    assert result.returncode == 0, result.stderr


def test_a_png_is_read_as_the_same_pixels_in_the_dataset(archive, tmp_path):
    """Train/serve parity: NIST's bytes through the stages and through a PNG in a folder."""
    import zipfile

    with zipfile.ZipFile(archive) as file:
        images, labels = (
            emnist.decode_idx(file.read(f"gzip/{name('byclass', 'test')}"))
            for name in (emnist.images_member, emnist.labels_member)
        )
    mapping = emnist.parse_mapping(emnist.mapping_text("byclass"))
    codes = np.array([mapping[label] for label in labels[:400]], np.uint8)
    upright = emnist.turned(images[:400])[dataset.classes_of(codes) >= 0]
    reader = Reader(RELEASED)
    expected = reader.probabilities(normalise_batch(upright))
    for number, image in enumerate(upright):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    got = [reader.read_file(tmp_path / f"{n}.png")[0] for n in range(len(upright))]
    assert np.array_equal(np.stack([reading.probabilities for reading in got]), expected)
    classes = dataset.classes_of(codes)
    right = [CHARACTERS[c] == r.character for c, r in zip(classes[classes >= 0], got, strict=True)]
    assert np.mean(right) > 0.9


def test_real_scans_are_read(scans, tmp_path):
    result = predict(scans, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    truth = {
        Path(row["file"]).name: row["character"] for row in rows(SHARED / "scans" / "labels.csv")
    }
    table = rows(tmp_path / "predictions.csv")
    assert len(table) == 935
    assert np.mean([row["character"] == truth[row["path"]] for row in table]) >= 0.88


@pytest.fixture(scope="module")
def drawn() -> list:
    return draw_cards(4, seed=5)


@pytest.fixture(scope="module")
def many(drawn, written, tmp_path_factory) -> Path:
    """A folder with enough images for several processes: loose ones, cards, and a broken file."""
    folder = tmp_path_factory.mktemp("many")
    for card in drawn:
        save_card(folder / f"card-{card.vin}", card)
    one = folder / "0.png"
    Image.fromarray(written["A"]).save(one)
    for number in range(1, 1200):
        (folder / f"{number}.png").hardlink_to(one)
    (folder / "broken.png").write_bytes(one.read_bytes()[:60])
    return folder


def started(folder: Path, cwd: Path) -> tuple[subprocess.Popen, list[int]]:
    """predict.py in the midst of reading with two processes, and the two."""
    running = subprocess.Popen(
        [sys.executable, PROJECT / "stages/predict.py", folder, "--jobs", "2"],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # signals to its group do not reach the tests
        # What is run in the background of a shell is born deaf to Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    while running.poll() is None:
        workers = [int(pid) for pid in children.read_text().split()]
        if len(workers) == 2:
            return running, workers
        time.sleep(0.005)
    raise AssertionError(running.communicate())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(workers: list[int]) -> bool:
    """Whether they end: after the one that started them has, the system may still be at it."""
    end = time.monotonic() + 60
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(alive, workers))


def test_cards_are_read_as_vins_in_every_form(drawn, tmp_path):
    save_card(tmp_path / "input/folder", drawn[0])
    save_card(tmp_path / "input", drawn[1])
    for path in (tmp_path / "input").glob("*.png"):
        path.rename(path.with_name(f"files_{path.name}"))
    Image.fromarray(drawn[2].field).save(tmp_path / "input/wide.png")
    Image.fromarray(drawn[3].boxes[0]).save(tmp_path / "input/loose.png")
    result = predict_here("input", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "3 cards" in result.stdout and "review.html" in result.stdout
    table = rows(tmp_path / "vins.csv")
    assert tuple(table[0]) == VinRow._fields
    assert [row["card"] for row in table] == ["files", "folder", "wide.png"]
    truth = [drawn[1].vin, drawn[0].vin, drawn[2].vin]
    read = "".join(row["vin"].ljust(17) for row in table)
    assert np.mean([a == b for a, b in zip(read, "".join(truth), strict=True)]) > 0.85
    for row, vin in zip(table, truth, strict=True):
        assert row["status"] == "review" or row["vin"] == vin
        assert len(row["raw"]) == 17 and 0 < float(row["confidence"]) <= 1
    boxes = rows(tmp_path / "predictions.csv")
    assert len(boxes) == 3 * 17 + 1
    assert boxes[-1]["path"] == "wide.png#box=17"
    page = (tmp_path / "review.html").read_text("utf-8")
    assert all(f'"{name}"' in page for name in ("files", "folder", "wide.png"))
    assert '"loose.png"' not in page


def save_pages(path: Path, *pages: np.ndarray) -> None:
    first, *others = map(Image.fromarray, pages)
    first.save(path, save_all=True, append_images=others)


def test_every_page_of_a_file_of_fields_is_a_card(drawn, tmp_path):
    folder = tmp_path / "input"
    folder.mkdir()
    blank = np.full((100, 900), 230, np.uint8)
    fields = [card.field for card in drawn[:3]]
    for number, field in enumerate(fields, start=1):
        Image.fromarray(field).save(folder / f"single-{number}.png")
    save_pages(folder / "pages.tif", fields[0], drawn[0].boxes[4], *fields[1:], blank)
    result = predict_here("input", "--debug", "seen", cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr  # a blank page has no field
    cards = {row.pop("card"): row for row in rows(tmp_path / "vins.csv")}
    pages = [f"pages.tif#page={number}" for number in range(1, 6)]
    assert list(cards) == [pages[0], *pages[2:], *(f"single-{n}.png" for n in (1, 2, 3))]
    for number, page in enumerate((pages[0], pages[2], pages[3]), start=1):
        single = f"single-{number}.png"
        assert cards[page].pop("message").endswith(f"same number as {single}")
        assert cards[single].pop("message").endswith(f"same number as {page}")
        assert cards[page] == cards[single] and cards[page]["vin"]
    assert cards[pages[4]]["message"]
    paths = [row["path"] for row in rows(tmp_path / "predictions.csv")]
    in_boxes = [[f"{page}#box={n}" for n in range(1, 18)] for page in pages]
    expected = [*in_boxes[0], pages[1], *in_boxes[2], *in_boxes[3], pages[4]]
    assert paths[: len(expected)] == expected
    assert (tmp_path / "seen/pages.tif#page=3#box=17.png").exists()
    assert f'"{pages[2]}"' in (tmp_path / "review.html").read_text("utf-8")


def test_further_pages_of_a_box_are_named(drawn, tmp_path):
    save_card(tmp_path / "input/card", drawn[0])
    (tmp_path / "input/card/05.png").unlink()
    save_pages(tmp_path / "input/card/05.tif", drawn[0].boxes[4], *drawn[1].boxes[:2])
    assert predict_here("input", cwd=tmp_path).returncode == 0
    message = "only the first of the file's 3 pages is read"
    boxes = rows(tmp_path / "predictions.csv")
    assert len(boxes) == 17
    assert (boxes[4]["path"], boxes[4]["status"]) == ("card/05.tif", "review")
    assert boxes[4]["message"] == message
    (card,) = rows(tmp_path / "vins.csv")
    assert card["status"] == "review" and f"box 5: {message}" in card["message"]


def test_cards_that_cannot_be_read_whole_are_reported_by_name(drawn, tmp_path):
    save_card(tmp_path / "input/sixteen", drawn[0], range(1, 17))
    save_card(tmp_path / "input/blank", drawn[1])
    Image.new("L", (54, 70), 230).save(tmp_path / "input/blank/05.png")
    save_card(tmp_path / "input/broken", drawn[2])
    (tmp_path / "input/broken/07.png").write_bytes(b"")
    Image.new("L", (900, 100), 230).save(tmp_path / "input/nothing.png")
    result = predict_here("input", cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    table = {row["card"]: row for row in rows(tmp_path / "vins.csv")}
    assert {row["status"] for row in table.values()} == {"review"}
    assert "missing box 17" in table["sixteen"]["message"]
    assert "box 5: no ink" in table["blank"]["message"] and len(table["blank"]["vin"]) == 17
    assert "box 7: the file is empty" in table["broken"]["message"]
    assert table["nothing.png"]["message"]
    for name in ("sixteen", "broken", "nothing.png"):
        assert table[name]["vin"] == ""


def test_any_number_of_processes_writes_the_same_bytes(many, tmp_path):
    written = {}
    for jobs in (1, 3):
        folder = tmp_path / str(jobs)
        folder.mkdir()
        result = predict(many, "--jobs", jobs, cwd=folder)
        assert result.returncode == 1 and not result.stderr
        written[jobs] = {path.name: path.read_bytes() for path in folder.iterdir()}
    files = {"predictions.csv", "predictions.csv.json", "vins.csv", "vins.xlsx", "review.html"}
    assert set(written[1]) == files
    assert written[1] == written[3]
    assert written[1]["predictions.csv"].count(b"\n") == 1 + 1200 + 4 * 17 + 1


@needs_proc
def test_a_killed_process_ends_the_reading_with_one_message(many, tmp_path):
    running, workers = started(many, tmp_path)
    os.kill(workers[0], signal.SIGKILL)
    _, errors = running.communicate(timeout=600)
    assert running.returncode == 2
    assert "a process was ended from outside" in errors and errors.count("\n") == 1
    assert gone(workers) and not list(tmp_path.iterdir())


@needs_proc
def test_ctrl_c_ends_every_process(many, tmp_path):
    running, workers = started(many, tmp_path)
    os.killpg(running.pid, signal.SIGINT)
    _, errors = running.communicate(timeout=600)
    assert running.returncode == 130, errors
    assert errors == "predict.py: interrupted; nothing was changed\n"
    assert gone(workers) and not list(tmp_path.iterdir())


@needs_proc
def test_processes_end_with_the_one_that_started_them(many, tmp_path):
    running, workers = started(many, tmp_path)
    running.kill()
    running.communicate(timeout=600)
    assert gone(workers)


def test_debug_draws_every_box_once(tmp_path, written):
    place = tmp_path / "input"
    (place / "a").mkdir(parents=True)
    image = Image.fromarray(written["A"]).resize((84, 84))
    image.save(place / "a/b.png")
    image.save(place / "a/b.tif", save_all=True, append_images=[image])
    Image.fromarray(draw_cards(1)[0].field).save(place / "card.png")
    (place / "bad.png").write_bytes(b"no image")
    result = predict_here("input", "--debug", "seen", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    read = [row["path"] for row in rows(tmp_path / "predictions.csv") if row["status"] != "error"]
    assert len(read) == 1 + 2 + 17
    seen = tmp_path / "seen"
    pictures = {path.relative_to(seen).as_posix() for path in seen.rglob("*") if path.is_file()}
    assert pictures == {f"{path}.png" for path in read}
    with Image.open(seen / "a/b.png.png") as picture:
        assert picture.width > 4 * 200 and picture.height > 200
        assert np.asarray(picture).min() == 0 and np.asarray(picture).max() == 255


def test_cards_of_the_same_number_or_one_box_apart_name_each_other(drawn, tmp_path):
    save_card(tmp_path / "input/first", drawn[0])
    save_card(tmp_path / "input/other", drawn[1])
    save_card(tmp_path / "input/second", drawn[0])
    assert predict_here("input", cwd=tmp_path).returncode == 0
    messages = {row["card"]: row["message"] for row in rows(tmp_path / "vins.csv")}
    assert "same number as second" in messages["first"]
    assert "same number as first" in messages["second"]
    assert "same number" not in messages["other"]
    page = (tmp_path / "review.html").read_text("utf-8")
    assert '"notes":{"0":"same number as second","2":"same number as first"}' in page
