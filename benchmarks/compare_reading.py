"""Speed and memory of reading, beside the pattern of student projects and the floor of decoding.

    python benchmarks/compare_reading.py            # about 10 minutes; --only profile for a glance

All is measured in one run, on the same files: PNG images of the embedded handwriting, and drawn
cards. The student pattern is its milder form: the Keras network is loaded once, then
`model.predict` is called for each image; time is taken without the loading. The floor is Pillow
opening the same files in as many processes. Where the time goes is measured in this process, on one
core. Writes benchmarks/results.md.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from project import PROJECT
from vintraining.console import stage
from vintraining.data import handwriting
from vintraining.drawing.cards import draw_cards

import numpy as np
import psutil
from PIL import Image
from results import write

from vinreader.image.boxes import normalise_all
from vinreader.image.fields import find_boxes
from vinreader.image.pages import open_pages
from vinreader.processes import cores
from vinreader.reader import Reader
from vinreader.spec import BOXES, CHARACTERS, UserError

READ = [sys.executable, str(PROJECT / "stages/predict.py")]
PER_FOLDER = 1000
STUDENT_IMAGES = 300  # for the student pattern
PAGE = 1000  # cards on the review page
PARTS = ("speed", "first", "profile", "memory", "page")
PACKAGES = ("numpy", "opencv-python-headless", "pillow", "ai-edge-litert", "tensorflow")
Row = tuple[str, str, str, str]  # what was measured, ours, compared with, ratio

STUDENT = """
import sys, time
import keras, numpy as np
from PIL import Image
network = keras.models.load_model(sys.argv[1], compile=False)
paths = sys.stdin.read().split("\\n")
start = time.perf_counter()
for path in paths:
    image = np.asarray(Image.open(path).convert("L").resize((28, 28)), np.float32)
    network.predict(255 - image[None, ..., None], verbose=0).argmax()
print((time.perf_counter() - start) / len(paths))
"""


def write_images(folder: Path, count: int) -> list[Path]:
    """PNG files, dark on light, a thousand in each folder."""
    per_class = -(-count // len(CHARACTERS))
    images, _, _ = handwriting.write(per_class, writers=min(per_class, 100), progress=False)
    order = np.random.default_rng(0).permutation(len(images))[:count]
    paths = [folder / f"{n // PER_FOLDER:03}/{n % PER_FOLDER}.png" for n in range(count)]
    for path, index in zip(paths, order, strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - images[index]).save(path)
    return paths


def link(paths: list[Path], folder: Path, count: int) -> Path:
    """`count` files with the content of the given ones in turn, all in one folder."""
    folder.mkdir()
    for n in range(count):
        (folder / f"{n}.png").hardlink_to(paths[n % len(paths)])
    return folder


def write_cards(folder: Path, count: int) -> Path:
    drawn = draw_cards(min(count, 50))
    for number in range(count):
        place = folder / f"card-{number:04}"
        place.mkdir(parents=True)
        for box, image in enumerate(drawn[number % len(drawn)].boxes, start=1):
            Image.fromarray(image).save(place / f"{box:02}.png")
    return folder


def run(command: list[str], cwd: Path, text: str = "") -> str:
    """Standard output of a command that succeeds."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, input=text)
    if result.returncode:
        raise UserError(f"{' '.join(command)} failed:\n{result.stderr}")
    return result.stdout


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak_memory(command: list[str], cwd: Path) -> float:
    """Largest memory of a command and its processes in MB, shared pages counted once."""
    running = subprocess.Popen(command, cwd=cwd, stdout=subprocess.DEVNULL)
    peak, process = 0, psutil.Process(running.pid)
    while running.poll() is None:
        total = 0
        for one in [process, *process.children(recursive=True)]:
            try:
                total += one.memory_full_info().pss
            except psutil.Error:
                continue  # it has ended
        peak = max(peak, total)
        time.sleep(0.02)
    return peak / 1e6


def decode(paths: list[Path]) -> None:
    for path in paths:
        with Image.open(path) as image:
            image.load()


def floor(paths: list[Path]) -> None:
    with get_context("fork").Pool(cores()) as pool:
        pool.map(decode, [paths[i : i + 100] for i in range(0, len(paths), 100)], 1)


def in_turns(runs: int, ours: Callable[[], object], other: Callable[[], object]) -> list[float]:
    """The fastest run of either in seconds, and the median ratio of a turn: what else the machine
    does disturbs both alike."""
    pairs = [(seconds(ours), seconds(other)) for _ in range(runs)]
    return [*map(min, zip(*pairs, strict=True)), statistics.median(a / b for a, b in pairs)]


def speed(paths: list[Path], here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Of many images, beside the floor and the student pattern."""
    command, count = [*READ, str(here / "images")], len(paths)
    ours, opened, ratio = in_turns(options.runs, lambda: run(command, here), lambda: floor(paths))
    what = f"{count:,} PNG boxes, whole command"
    yield f"{what}, beside opening them", f"{ours:.2f} s", f"{opened:.2f} s", f"{ratio:.1f}"
    student = [sys.executable, "-c", STUDENT, str(options.model)]
    alone = float(run(student, here, "\n".join(map(str, paths[:STUDENT_IMAGES]))))
    yield (
        f"{what}, beside the student pattern",
        f"{count / ours:,.0f} a second",
        f"{1 / alone:,.1f} a second",
        f"{alone * count / ours:,.0f}",
    )


def first(here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Of a card and of the help, beside the import of TensorFlow."""
    card = [*READ, str(write_cards(here / "one", 1))]
    tensorflow = [sys.executable, "-c", "import tensorflow"]
    for what, command in (("a card of 17 boxes", card), ("--help", [*READ, "--help"])):
        ours, other, ratio = in_turns(
            options.runs, lambda c=command: run(c, here), lambda: run(tensorflow, here)
        )
        yield (
            f"{what}, whole command, beside `import tensorflow`",
            f"{ours:.2f} s",
            f"{other:.2f} s",
            f"1/{1 / ratio:.0f}",
        )


def profile(paths: list[Path], here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Where the time goes: milliseconds a box on one core, beside opening it."""
    reader, drawn = Reader(), draw_cards(40)
    sample = paths[:PER_FOLDER]
    clean = [open_pages(path)[0] for path in sample]
    printed = [image for card in drawn for image in card.boxes]
    readings = reader.read(printed)
    cards = [readings[at : at + BOXES] for at in range(0, len(readings), BOXES)]
    pixels = np.stack([box.pixels for box in normalise_all(clean)])
    reader.decode(cards)
    steps: list[tuple[str, Callable[[], object], int]] = [
        ("opening", lambda: [open_pages(path) for path in sample], len(sample)),
        ("normalising", lambda: normalise_all(clean), len(clean)),
        ("normalising a box with printed lines", lambda: normalise_all(printed), len(printed)),
        ("the network", lambda: reader.probabilities(pixels), len(pixels)),
        (
            "finding the boxes of a field",
            lambda: [find_boxes(one.field) for one in drawn],
            len(printed),
        ),
        ("making 17 boxes a number", lambda: reader.decode(cards), len(printed)),
    ]
    taken = [min(seconds(work) for _ in range(options.runs)) / n * 1e3 for _, work, n in steps]
    for (what, _, _), each in zip(steps, taken, strict=True):
        yield f"ms a box: {what}", f"{each:.3f}", f"{taken[0]:.3f}", f"{each / taken[0]:.1f}"


def memory(paths: list[Path], here: Path, many: Path) -> Iterator[Row]:
    """Of many images in one folder, beside fewer in several."""
    small, large = (peak_memory([*READ, str(f)], here) for f in (here / "images", many))
    count = sum(1 for _ in many.iterdir())
    yield (
        f"most memory, {count:,} images in a folder beside {len(paths):,} in several",
        f"{large:,.0f} MB",
        f"{small:,.0f} MB",
        f"{large / small:.2f}",
    )


def page(here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Seconds until the review page can be used, in headless Chromium."""
    from stations import Page, browser

    cards = write_cards(here / "cards", PAGE)
    run([*READ, str(cards), "--output", "cards/predictions.csv"], here)
    with browser(here) as driver:
        shown = Page(driver)

        def opened() -> None:
            driver.get((cards / "review.html").as_uri())
            shown.wait("document.body.dataset.ready === 'true'")

        ours = min(seconds(opened) for _ in range(options.runs))
    yield f"review page with {PAGE:,} cards open", f"{ours:.1f} s", "3 s", f"{ours / 3:.2f}"


def others(since: float, busy: float) -> str:
    """How much others wanted the processor, for it makes every figure worse."""
    ours = sum(os.times()[:4])
    rest = max(0.0, processor_seconds() - busy - ours) / (time.monotonic() - since)
    return f"Meanwhile other processes used {rest:.1f} cores."


def processor_seconds() -> float:
    """Seconds that all processors of this machine, and hosts of it, have been busy."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0))


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="for memory")
    parser.add_argument("--runs", type=int, default=3, help="of which the fastest counts")
    parser.add_argument("--only", nargs="+", choices=PARTS, help="nothing is written then")
    parser.add_argument("--model", type=Path, default=PROJECT / "models/vin-reader.keras")
    options = parser.parse_args()
    if not options.model.exists():
        raise UserError(f"no {options.model} for the student pattern; run dvc repro")
    since, busy = time.monotonic(), processor_seconds() - sum(os.times()[:4])
    rows: list[Row] = [("", "ours", "beside", "ratio")]
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        paths = write_images(here / "images", options.images)
        many = link(paths, here / "many", options.many)
        parts = {
            "speed": speed(paths, here, options),
            "first": first(here, options),
            "profile": profile(paths, here, options),
            "memory": memory(paths, here, many),
            "page": page(here, options),
        }
        for row in chain.from_iterable(parts[name] for name in options.only or parts):
            rows.append(row)
            print(" | ".join(row), flush=True)
    note = others(since, busy)
    print(note)
    if not options.only:
        write("Reading, measured", PACKAGES, rows, note)


if __name__ == "__main__":
    main()
