"""Damaged images by the thousand: does predict.py ever crash, hang, lose a row or take much memory?

    python benchmarks/mutants.py --number 5000

makes so many mutants of every image format (cut off, bits flipped, bytes overwritten, pieces
repeated or taken away, sizes made absurd), lets `predict.py` read them in folders of 500, and
reports. Every mutant must have a row: a reading, or an error with a message. Processor time is
measured, so that a busy machine hangs nothing; a folder that takes too long is halved and read
again. The same seed makes the same mutants. Exit status 1 when a promise is broken.
"""

import argparse
import csv
import io
import os
import resource
import subprocess
import sys
import tempfile
import zlib
from collections import Counter
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from project import PROJECT
from vintraining.data import handwriting

import numpy as np
from PIL import Image, features

from vinreader.image.documents import register_heic

PREDICT = PROJECT / "stages/predict.py"
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "JPEG2000", "AVIF", "PDF", "HEIF")
ENDINGS = {"JPEG2000": "jp2", "HEIF": "heic"}
FOLDER = 500  # mutants that are read by one predict.py
STARTING = 2.0  # seconds of the processor that predict.py takes before it reads
MOST_SECONDS = 2.0  # of the processor, for one file besides that
PATIENCE = 600  # seconds after which a process hangs without using the processor
MOST_BYTES = 400 << 20
CRASHES, HANGS, MISSING, SPEECHLESS = PROMISES = (
    "crashes",
    f"hangs over {MOST_SECONDS:.0f} s",
    "missing rows",
    "errors without message",
)


def originals(kind: str) -> list[bytes]:
    """Sound files of a format in its usual variants."""
    characters, _, _ = handwriting.write(per_class=1, writers=1, seed=3)
    small = Image.fromarray(255 - characters[10])
    field = Image.fromarray(255 - np.concatenate(characters[:17], axis=1)).resize((952, 56))
    grey = small.resize((84, 84))
    colour = Image.merge("RGB", (grey, grey.rotate(5), grey))
    see_through = colour.convert("RGBA")
    see_through.putalpha(grey)
    deep = Image.fromarray(np.asarray(grey, np.uint16) * 16)
    oriented = Image.Exif()
    oriented[0x0112] = 6
    pages = {"save_all": True, "append_images": [grey, grey.rotate(9)]}
    bits, floats = grey.convert("1"), Image.fromarray(np.asarray(grey, np.float32) / 255)
    variants: dict[str, list[Image.Image | tuple[Image.Image, dict]]] = {
        "PNG": [field, see_through, deep, colour.quantize(), bits, (colour, {"exif": oriented})],
        "JPEG": [
            (colour, {"progressive": True}),
            colour.convert("CMYK"),
            (grey, {"exif": oriented, "optimize": True}),
        ],
        "TIFF": [
            (grey, {"compression": "tiff_lzw"}),
            deep,
            (see_through, {"compression": "tiff_deflate"}),
            (grey, pages),
            (bits, {"compression": "group4"}),
            (colour, {"compression": "jpeg"}),
            floats,
        ],
        "BMP": [colour, see_through, bits],
        "WEBP": [(see_through, {"lossless": True}), (colour, pages)],
        "GIF": [(grey, pages), (colour.quantize(16), {"interlace": 1})],
        "JPEG2000": [colour, (grey, {"no_jp2": True, "irreversible": True})],
        "AVIF": [see_through, (colour, pages)],
        "PDF": [(colour, pages)],
        "HEIF": [see_through, (grey, pages)],
    }
    if kind == "HEIF":
        register_heic()
    made = []
    for variant in [small, *variants[kind]]:
        image, options = variant if isinstance(variant, tuple) else (variant, {})
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        made.append(buffer.getvalue())
    return made


def mutant(original: bytes, rng: np.random.Generator) -> bytes:
    """The file with one to three kinds of damage; half of it near the start, where sizes stand."""
    data = bytearray(original)
    for _ in range(rng.integers(1, 4)):
        if not data:
            break
        reach = len(data) if rng.random() < 0.5 else min(len(data), 64)
        at, length = int(rng.integers(reach)), int(rng.integers(1, 9))
        match rng.integers(1, 7) if rng.random() < 0.9 else 0:
            case 0:  # cut off
                del data[at:]
            case 1:  # bits flipped
                for place in rng.integers(0, reach, length):
                    data[place] ^= 1 << rng.integers(8)
            case 2:  # noise
                data[at : at + length] = rng.bytes(length)
            case 3:  # absurd sizes
                value = bytes([rng.choice([0x00, 0x7F, 0x80, 0xFF])])
                data[at : at + 4] = value * len(data[at : at + 4])
            case 4:  # a piece twice
                data[at:at] = data[at : at + 16 * length]
            case 5:  # a piece missing
                del data[at : at + 16 * length]
            case 6:  # a piece of itself elsewhere
                data[at : at + length] = data[-length:]
    return bytes(data)


def with_right_sums(png: bytes) -> bytes:
    """A PNG with the checksum of every chunk mended, so that its damage reaches the decoder."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        if end + 4 > len(data):
            break
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def mutants(kind: str, number: int, seed: int):
    """(name, content) of `number` mutants, the same for the same seed."""
    sound = originals(kind)
    for index in range(number):
        rng = np.random.default_rng([seed, FORMATS.index(kind), index])
        content = mutant(sound[index % len(sound)], rng)
        if kind == "PNG" and rng.random() < 0.7:
            content = with_right_sums(content)
        yield f"{index:06}.{ENDINGS.get(kind, kind.lower())}", content


@dataclass
class Outcome:
    """What came of the mutants: rows by status, those that broke each of `PROMISES`, and the most
    seconds and bytes that a folder took."""

    rows: Counter[str] = field(default_factory=Counter)
    broken: dict[str, list[str]] = field(default_factory=lambda: {name: [] for name in PROMISES})
    seconds: float = 0.0
    peak: int = 0


def run(folder: Path, output: Path) -> tuple[int, str, float, int]:
    """predict.py on a folder: exit status, messages, seconds of the processor, peak bytes (of this
    and all before)."""
    before = os.times()
    command = [sys.executable, PREDICT, folder, "--output", output]
    patient = ["timeout", "--signal=KILL", str(PATIENCE), *command]
    result = subprocess.run(patient, capture_output=True, text=True, errors="replace")
    after, peak = os.times(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    seconds = sum(after[2:4]) - sum(before[2:4])
    return result.returncode, result.stderr, seconds, peak * 1024


def read(folder: Path, outcome: Outcome) -> None:
    """Reads a folder of mutants with predict.py and adds up what came of it."""
    output = folder.with_suffix(".csv")
    output.unlink(missing_ok=True)
    files = sorted(folder.iterdir())
    status, text, seconds, peak = run(folder, output)
    crashed = status not in (0, 1) or "Traceback" in text or not output.exists()
    if len(files) > 1 and (crashed or seconds > STARTING + MOST_SECONDS):
        for half in (files[::2], files[1::2]):  # which one was it?
            place = folder.with_name(f"{folder.name}-{half[0].stem}")
            place.mkdir()
            for file in half:
                file.rename(place / file.name)
            read(place, outcome)
        return
    outcome.seconds = max(outcome.seconds, seconds)
    outcome.peak = max(outcome.peak, peak)
    name = f"{folder.name}/{files[0].name}"
    if crashed:
        outcome.broken[CRASHES].append(f"{name}: exit status {status}: {text[-300:]}")
        return
    if seconds > STARTING + MOST_SECONDS:
        outcome.broken[HANGS].append(f"{name}: {seconds:.1f} s")
    with output.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    told = {row["path"].partition("#")[0] for row in rows}
    outcome.broken[MISSING] += [file.name for file in files if file.name not in told]
    outcome.rows.update(row["status"] for row in rows)
    outcome.broken[SPEECHLESS] += [
        row["path"] for row in rows if row["status"] == "error" and not row["message"]
    ]


def report(kind: str, number: int, outcome: Outcome) -> None:
    rows = ", ".join(f"{outcome.rows[status]:,} {status}" for status in ("ok", "review", "error"))
    broken = ", ".join(f"{len(mutants)} {promise}" for promise, mutants in outcome.broken.items())
    print(
        f"{kind:4}  {number:,} mutants: {broken}; rows: {rows}; longest folder "
        f"{outcome.seconds:.1f} s, peak {outcome.peak / 2**20:.0f} MiB",
        flush=True,
    )
    for line in list(chain(*outcome.broken.values()))[:20]:
        print(f"  {line}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=5000, help="mutants of each format")
    parser.add_argument("--formats", nargs="+", choices=FORMATS, default=FORMATS)
    parser.add_argument("--seed", type=int, default=1981)
    options = parser.parse_args()
    print(f"Pillow {Image.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}")
    broken = False
    for kind in options.formats:
        outcome = Outcome()
        with tempfile.TemporaryDirectory() as place:
            made = list(mutants(kind, options.number, options.seed))
            for start in range(0, len(made), FOLDER):
                folder = Path(place, f"{start:06}")
                folder.mkdir()
                for name, content in made[start : start + FOLDER]:
                    (folder / name).write_bytes(content)
                read(folder, outcome)
        report(kind, options.number, outcome)
        broken |= any(outcome.broken.values()) or outcome.peak > MOST_BYTES
    sys.exit(broken)


if __name__ == "__main__":
    main()
