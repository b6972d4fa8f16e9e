"""Input that somebody made to break the reader: one clear error or a row that says why, never more.

benchmarks/mutants.py tries thousands of damaged images of every format; here is a sample of them.
"""

import gzip
import io
import json
import os
import re
import struct
import time
import tracemalloc
import zipfile
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path

from vintraining.data import archive, emnist, handwriting
from vintraining.parameters import ParameterError, parse

import mutants
import numpy as np
import pytest
from PIL import Image

from conftest import PROJECT, archive_bytes, predict, rows, run_code, run_here
from vinreader.image import kinds, limits, pages


@contextmanager
def little_memory():
    """What stands in it may take 20 MB."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()


def test_every_damaged_image_has_a_row_that_reads_it_or_says_why(tmp_path):
    names = set()
    for kind in kinds.PILLOW:
        for name, content in mutants.mutants(kind, 60, seed=5):
            (tmp_path / "input").mkdir(exist_ok=True)
            (tmp_path / f"input/m{name}").write_bytes(content)
            names.add(f"m{name}")
    result = predict("input", cwd=tmp_path)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    table = rows(tmp_path / "predictions.csv")
    assert {row["path"].partition("#")[0] for row in table} == names
    assert {row["status"] for row in table} == {"ok", "review", "error"}
    told = [row["message"] for row in table if row["status"] == "error"]
    assert all(0 < len(message) < 80 and "Error" not in message for message in told)


def png(width: int, height: int, rows_of_data: int, depth: int = 1) -> bytes:
    """A black grey PNG of `depth` bits that says it is so large, and holds so many rows."""
    row = bytes(1 + (width * depth + 7) // 8)
    packed = zlib.compressobj(9)
    data = b"".join([packed.compress(row) for _ in range(rows_of_data)]) + packed.flush()
    content = b"\x89PNG\r\n\x1a\n"
    header = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    for kind, chunk in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
        content += struct.pack(">I", len(chunk)) + kind + chunk
        content += struct.pack(">I", zlib.crc32(kind + chunk))
    return content


def tiff(tags: dict[int, int]) -> bytes:
    """A deflated grey TIFF that says so of itself, and holds no pixels."""
    tags = tags | {258: 8, 259: 8, 262: 1, 277: 1}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)


def run_length_bmp(width: int, height: int) -> bytes:
    header = struct.pack("<I2i2H6I", 40, width, height, 1, 8, 1, 0, 0, 0, 256, 0)
    return b"BM" + struct.pack("<3I", 10**6, 0, 1078) + header + bytes(1024) + b"\1\1" * 1000


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (png(60_000, 60_000, 2_000), "larger than 64 million pixels"),
        (png(2**31 - 1, 2**31 - 1, 1), "larger than 64 million pixels|not an image"),
        (png(1, 70_000_000, 1), "larger than 64 million pixels"),
        (png(1, 63_999_999, 1), "more than 65,500 pixels long"),
        (png(0, 10, 1), "not an image|damaged"),
        (
            b"BM" + struct.pack("<4I2i2H6I", 10**9, 0, 54, 40, 30_000, -(2**31), 1, 24, *[0] * 6),
            "larger|damaged|not an image",
        ),
        (b"GIF89a" + bytes(7) + b",", "damaged"),  # nothing says whether a second page follows
        (b"GIF89a" + b"\xff" * 7 + b"," + bytes(4) + b"\xff" * 20, "damaged|larger"),
        (b"II*\0" + struct.pack("<IHI", 8, 0, 8), "damaged|not an image"),  # a circle of pages
        (b"RIFF\xff\xff\xff\xffWEBPVP8L\xff\xff\xff\xff/\xff\xff\xff\xff", "larger|damaged"),
        (tiff({256: 100, 257: 100, 322: 65_520, 323: 32_000, 324: 8, 325: 500}), "damaged"),
        (tiff({256: 9000, 257: 9000, 273: 8, 278: 2**32 - 1, 279: 500}), "larger than 64 million"),
        (run_length_bmp(7900, 8000), "larger than 0.5 million pixels"),
    ],
)
def test_absurd_sizes_are_refused_before_any_memory_is_taken(tmp_path, content, says):
    path = tmp_path / "x"
    path.write_bytes(content)
    with little_memory(), pytest.raises(pages.UnreadableImage, match=says):
        pages.open_pages(path)


def jpeg(side: int, **options) -> tuple[bytes, int]:
    """A grey JPEG, and where its last scan begins."""
    buffer = io.BytesIO()
    Image.new("L", (side, side), 99).save(buffer, "JPEG", **options)
    return buffer.getvalue(), buffer.getvalue().rfind(b"\xff\xda")


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded():
    content, place = jpeg(1000, progressive=True)
    assert limits.scans_of(content) == 6 and limits.scans_of(jpeg(100)[0]) == 1
    assert pages.open_pages(io.BytesIO(content))[0].shape == (1000, 1000)
    bomb = content[:place] + content[place:-2] * 400 + content[-2:]
    with pytest.raises(pages.UnreadableImage, match="405 scans, too many for its size"):
        pages.open_pages(io.BytesIO(bomb))


@pytest.mark.parametrize("filling", [b"\xff" * 9_000_000, b"\0" * 9_000_000])
@pytest.mark.parametrize("where", ["before the scan", "in the scan"])
def test_a_jpeg_filled_with_nothing_takes_no_time(filling, where):
    content, scan = jpeg(8)
    at = 2 if where == "before the scan" else scan + 14
    start = time.process_time()
    with suppress(pages.UnreadableImage):
        pages.open_pages(io.BytesIO(content[:at] + filling + content[at:]))
    # It takes 0.03 s; what decoders search for, they search for minutes.
    assert time.process_time() - start < 5


def test_decoding_ends_when_it_takes_too_long(monkeypatch):
    content, scan = jpeg(8)
    filled = content[: scan + 14] + (b"\xff" * 60_000 + b"\xd0") * 100 + content[scan + 14 :]
    pages.open_pages(io.BytesIO(filled))
    monkeypatch.setattr(limits, "SECONDS", -1)  # over at the first look, however coarse the clock
    with pytest.raises(pages.UnreadableImage, match="takes too long"):
        pages.open_pages(io.BytesIO(filled))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells no peak of a process")
def test_a_large_page_is_held_once_with_its_colours(tmp_path):
    """Of 25 million pixels, 4 bytes each with colours and 1 as grey."""
    path = tmp_path / "x.png"
    Image.new("RGBA", (5000, 5000), (9, 9, 9, 99)).save(path, compress_level=1)
    code = """
import sys
from pathlib import Path
from vinreader.image import pages
def told(name):
    return int(Path("/proc/self/status").read_text().split(name)[1].split()[1])
before = told("VmRSS")
pages.open_pages(sys.argv[1])
print(told("VmHWM") - before)
"""
    result = run_code(code, path)
    assert 25e6 * 4 < int(result.stdout) * 1024 < 25e6 * 5 + 20e6


def test_damaged_tiff_says_nothing_on_standard_error(tmp_path, capfd):
    for _, content in mutants.mutants("TIFF", 100, seed=1):
        with suppress(pages.UnreadableImage):
            pages.open_pages(io.BytesIO(content))
    assert capfd.readouterr().err == ""


def test_many_large_pages_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_PIXELS_OF_FILE", 100_000)
    page = Image.new("1", (200, 200))
    page.save(tmp_path / "x.tif", save_all=True, append_images=[page] * 4, compression="group4")
    with pytest.raises(pages.UnreadableImage, match="pages are together larger"):
        pages.open_pages(tmp_path / "x.tif")


def test_a_page_is_as_grey_in_pieces_as_in_one(tmp_path, monkeypatch):
    values = np.random.default_rng(0).integers(0, 4096, (37, 11), dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    whole = pages.open_pages(tmp_path / "x.png")[0]
    monkeypatch.setattr(pages, "ROWS", 5)
    assert np.array_equal(pages.open_pages(tmp_path / "x.png")[0], whole)
    assert np.array_equal(whole, np.rint(values * (255 / 4095)).astype(np.uint8))


@pytest.mark.skipif(os.name == "nt", reason="Windows allows no such names")
def test_names_of_every_kind_are_rows_and_can_be_mapped_back(tmp_path):
    good = io.BytesIO()
    characters, _, _ = handwriting.write(per_class=1, writers=1, seed=3)
    Image.fromarray(255 - characters[10]).save(good, "PNG")
    folder = tmp_path / "input"
    (folder / "=sub+1").mkdir(parents=True)
    names = [
        "=1+1.png",
        "+1.png",
        "-1.png",
        "@SUM(A1).png",
        "\t=x.png",
        "\r=y.png",
        "a\nb.png",
        'say "x".png',
        "a,b;c.png",
        "'=1+1.png",
        "\u202egnp.exe.png",
        "<script>alert(1)<",
        "%41.png",
        "=sub+1/=cmd|' C calc'!A0.png",
        "\x1b[31mred.png",
        " space.png",
    ]
    for name in names:
        (folder / name).write_bytes(good.getvalue())
    (folder / "loop-a.png").symlink_to("loop-b.png")
    (folder / "loop-b.png").symlink_to("loop-a.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "here").symlink_to(".")
    result = predict("input", cwd=tmp_path)
    assert "Traceback" not in result.stderr
    table = rows(tmp_path / "predictions.csv")
    paths = [row["path"] for row in table]
    assert {folder / path for path in paths} >= {folder / name for name in names}
    told = {row["path"]: row["message"] for row in table if row["status"] == "error"}
    assert told == {
        "dangling.png": "the file does not exist",
        "loop-a.png": "the file cannot be read: Too many levels of symbolic links",
        "loop-b.png": "the file cannot be read: Too many levels of symbolic links",
    }
    assert not [path for path in paths if path[0] in "=+-@\t\r\n"]
    lines = predict("input", "--format", "ascii", cwd=tmp_path).stdout.splitlines()
    assert len(lines) == sum(bool(row["character"]) for row in table)
    assert all(re.fullmatch(r"\d{3}, .+", line) and "\x1b" not in line for line in lines)


def test_idx_is_unpacked_no_further_than_its_header_says():
    bomb = gzip.compress(b"\x00\x00\x08\x01\x00\x00\x00\x05" + bytes(200_000_000))
    huge = gzip.compress(b"\x00\x00\x08\x03\xff\xff\xff\xff\x00\x00\x00\x1c\x00\x00\x00\x1c")
    for data, says in ((bomb, "more bytes of data, header says 5"), (huge, "more than EMNIST has")):
        with little_memory(), pytest.raises(emnist.EmnistError, match=says):
            emnist.decode_idx(data, "x.gz")


def repacked(content: bytes, rename) -> bytes:
    """An archive with its members under other names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w") as new:
        for info in old.infolist():
            new.writestr(rename(info.filename), old.read(info))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def sound() -> bytes:
    return archive_bytes(zipfile.ZIP_DEFLATED, per_class=1)


@pytest.mark.parametrize("prefix", ["/", "../../", "C:\\", "gzip/../../x/"])
def test_a_member_s_path_never_leaves_the_folder(tmp_path, sound, prefix):
    source, folder = tmp_path / "deep/er/x.zip", tmp_path / "deep/er/raw"
    folder.mkdir(parents=True)
    source.write_bytes(repacked(sound, lambda name: prefix + Path(name).name))
    before = set(tmp_path.rglob("*"))
    try:
        archive.copy_local(source, "balanced", folder)
    except archive.ArchiveError as error:
        assert "no member" in str(error)
    assert all(path.parent == folder for path in set(tmp_path.rglob("*")) - before)


@pytest.mark.parametrize("sizes", [(4, 4), (3_000_000_000, 100), (100, 3_000_000_000)])
def test_sizes_that_lie_are_refused(tmp_path, sound, serve, sizes):
    content = bytearray(sound)
    name = f"gzip/{emnist.images_member('balanced', 'train')}".encode()
    at = content.rfind(b"PK\x01\x02", 0, content.rfind(name))  # in the central directory
    content[at + 20 : at + 28] = struct.pack("<II", *sizes)
    (tmp_path / "x.zip").write_bytes(content)
    for folder in ("raw", "kept", "out"):
        (tmp_path / folder).mkdir()
    with pytest.raises(archive.ArchiveError):
        archive.copy_local(tmp_path / "x.zip", "balanced", tmp_path / "raw")
    with pytest.raises(archive.ArchiveError):
        archive.fetch(
            [serve(bytes(content)).url], "balanced", tmp_path / "kept", tmp_path / "out", False
        )
    assert not list((tmp_path / "out").iterdir())


def test_a_damaged_archive_is_whole_or_refused(tmp_path, sound):
    """Bits flipped anywhere, cut off anywhere: the members come out as they went in, or not."""
    (tmp_path / "raw").mkdir()
    with zipfile.ZipFile(io.BytesIO(sound)) as file:
        members = {name: file.read(f"gzip/{name}") for name in emnist.members("balanced")}
    refused = 0
    for index in range(150):
        rng = np.random.default_rng(index)
        data = bytearray(sound)
        if index % 3 == 0:
            del data[rng.integers(len(data)) :]
        else:  # half of them in the directory at the end
            start = 0 if index % 2 else len(data) - 1500
            for place in rng.integers(start, len(data), rng.integers(1, 20)):
                data[place] ^= 1 << rng.integers(8)
        (tmp_path / "x.zip").write_bytes(data)
        try:
            archive.copy_local(tmp_path / "x.zip", "balanced", tmp_path / "raw")
        except archive.ArchiveError:
            refused += 1
        else:
            assert all((tmp_path / "raw" / n).read_bytes() == d for n, d in members.items())
    assert 75 < refused < 150


@pytest.mark.parametrize(
    "change",
    [
        {"temperature": float("nan")},
        {"temperature": 0.0},
        {"temperature": "1"},
        {"labels": "ABC"},
        {"review_threshold": None},
        {"review_threshold": True},
        {"vin_review_threshold": {"check digit": 0.9}},
        {"vin_review_threshold": 5},
        {"test": []},
        {"source": 7},
        {"sha256": "0" * 64},
        {"data": []},
        {"data": {"sha256": "none"}},
        {"code": ["boxes.py"]},
        {"versions": "3.12"},
        {"labelled": ["clerks"]},
        {"labelled": {"clerks": {"parts": ["train"]}}},
        {"labelled": {"clerks": {"parts": {"train": {"images": "many"}}}}},
    ],
)
def test_a_tampered_description_is_refused(tmp_path, change):
    released = PROJECT / "models/released/vin-reader.tflite"
    card = json.loads(released.with_suffix(".json").read_text("utf-8")) | change
    (tmp_path / "x.tflite").write_bytes(released.read_bytes())
    (tmp_path / "x.json").write_text(json.dumps(card))
    (tmp_path / "input").mkdir()
    result = run_here(tmp_path, "predict.py", "--version", "--model", "x.tflite")
    assert result.returncode == 2
    assert "x.json" in result.stderr and "Traceback" not in result.stderr


TEXT = (PROJECT / "params.yaml").read_text("utf-8")
LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "aliases are not allowed"),
        (TEXT + "seed: 3\n", "'seed' stands twice"),
        (TEXT.replace("  epochs:", "  epochs: 3\n  epochs:"), "'epochs' stands twice"),
        ("[" * 2_000, "recursion"),
        (TEXT.replace("seed: 1981", f"seed: {'9' * 5000}"), "4300 digits"),
        (TEXT.replace("seed: 1981", "seed: 2001-99-99"), "month"),
        (TEXT.replace("seed: 1981", "seed: !!python/name:os.system"), "could not determine"),
        (TEXT.replace("seed: 1981", "seed: !!python/object/new:os.system [x]"), "could not"),
        (TEXT + "---\nseed: 1\n", "single document"),
        ("\x00", "special characters"),
        (TEXT.replace("seed: 1981", f"seed: {'x' * 10**6}"), "valid integer"),
    ],
)
def test_yaml_tricks_end_in_one_short_message(text, says):
    with pytest.raises(ParameterError, match=says) as error:
        parse(text)
    assert len(str(error.value)) < 1000
