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
from functools import partial
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from timeit import repeat

from project import PROJECT, call
from vintraining.console import stage
from vintraining.data import handwriting
from vintraining.drawing.cards import draw_cards
from vintraining.drawing.samples import card_files, save

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

READ = sys.executable, PROJECT / "stages/predict.py"
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
paths = sys.argv[2:]
start = time.perf_counter()
for path in paths:
    image = np.asarray(Image.open(path).convert("L").resize((28, 28)), np.float32)
    network.predict(255 - image[None, ..., None], verbose=0).argmax()
print((time.perf_counter() - start) / len(paths))
"""


def write_images(folder: Path, count: int) -> list[Path]:
    """PNG files, dark on light, a thousand in each folder."""
    per_class = -(-count // len(CHARACTERS))
    images, _, _ = handwriting.write(per_class, writers=min(per_class, 100))
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
    cards = [drawn[number % len(drawn)] for number in range(count)]
    save(card_files(cards, whole=False), folder)
    return folder


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


def decode(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def floor(paths: list[Path]) -> None:
    with get_context("fork").Pool(cores()) as pool:
        pool.map(decode, paths, 100)


def in_turns(runs: int, ours: Callable[[], object], other: Callable[[], object]) -> list[float]:
    """The fastest run of either in seconds, and the median ratio of a turn: what else the machine
    does disturbs both alike."""
    pairs = [
        (*repeat(ours, repeat=1, number=1), *repeat(other, repeat=1, number=1)) for _ in range(runs)
    ]
    return [*map(min, zip(*pairs, strict=True)), statistics.median(a / b for a, b in pairs)]


def speed(paths: list[Path], here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Of many images, beside the floor and the student pattern."""
    read, count = partial(call, *READ, here / "images", cwd=here), len(paths)
    ours, opened, ratio = in_turns(options.runs, read, partial(floor, paths))
    what = f"{count:,} PNG boxes, whole command"
    yield f"{what}, beside opening them", f"{ours:.2f} s", f"{opened:.2f} s", f"{ratio:.1f}"
    student = sys.executable, "-c", STUDENT, options.model, *paths[:STUDENT_IMAGES]
    alone = float(call(*student, cwd=here))
    rates = f"{count / ours:,.0f} a second", f"{1 / alone:,.1f} a second"
    yield f"{what}, beside the student pattern", *rates, f"{alone * count / ours:,.0f}"


def first(here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Of a card and of the help, beside the import of TensorFlow."""
    card = write_cards(here / "one", 1)
    tensorflow = partial(call, sys.executable, "-c", "import tensorflow", cwd=here)
    for what, argument in (("a card of 17 boxes", card), ("--help", "--help")):
        read = partial(call, *READ, argument, cwd=here)
        ours, other, ratio = in_turns(options.runs, read, tensorflow)
        what = f"{what}, whole command, beside `import tensorflow`"
        yield what, f"{ours:.2f} s", f"{other:.2f} s", f"1/{1 / ratio:.0f}"


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
    fields = [card.field for card in drawn]
    steps: list[tuple[str, Callable[[], object], int]] = [
        ("opening", lambda: [open_pages(path) for path in sample], len(sample)),
        ("normalising", partial(normalise_all, clean), len(clean)),
        ("normalising a box with printed lines", partial(normalise_all, printed), len(printed)),
        ("the network", partial(reader.probabilities, pixels), len(pixels)),
        ("finding the boxes of a field", lambda: [*map(find_boxes, fields)], len(printed)),
        ("making 17 boxes a number", partial(reader.decode, cards), len(printed)),
    ]
    taken = [min(repeat(work, repeat=options.runs, number=1)) / n * 1e3 for _, work, n in steps]
    for (what, _, _), each in zip(steps, taken, strict=True):
        yield f"ms a box: {what}", f"{each:.3f}", f"{taken[0]:.3f}", f"{each / taken[0]:.1f}"


def memory(paths: list[Path], here: Path, many: Path) -> Iterator[Row]:
    """Of many images in one folder, beside fewer in several."""
    small, large = (peak_memory([*map(str, READ), str(f)], here) for f in (here / "images", many))
    count = sum(1 for _ in many.iterdir())
    what = f"most memory, {count:,} images in a folder beside {len(paths):,} in several"
    yield what, f"{large:,.0f} MB", f"{small:,.0f} MB", f"{large / small:.2f}"


def page(here: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Seconds until the review page can be used, in headless Chromium."""
    from stations import Page, browser

    cards = write_cards(here / "cards", PAGE)
    call(*READ, cards, "--output", "cards/predictions.csv", cwd=here)
    with browser(here) as driver:
        shown = Page(driver)

        def opened() -> None:
            driver.get((cards / "review.html").as_uri())
            shown.wait("document.body.dataset.ready === 'true'")

        ours = min(repeat(opened, repeat=options.runs, number=1))
    yield f"review page with {PAGE:,} cards open", f"{ours:.1f} s", "3 s", f"{ours / 3:.2f}"


def others_seconds() -> float:
    """Seconds of the processors that others than this process and its own have used."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0)) - sum(os.times()[:4])


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
    since, busy = time.monotonic(), others_seconds()
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
    rest = max(0.0, others_seconds() - busy) / (time.monotonic() - since)
    note = f"Meanwhile other processes used {rest:.1f} cores."  # which makes every figure worse
    print(note)
    if not options.only:
        write("Reading, measured", PACKAGES, rows, note)


if __name__ == "__main__":
    main()
