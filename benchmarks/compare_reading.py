"""Speed and memory of reading, beside the pattern of student projects and the floor of decoding.

    python benchmarks/compare_reading.py            # about 10 minutes; --images 2000 for a glance

Everything is measured in one run, on the same files: PNG images of the embedded handwriting. The
student pattern is its milder form: the Keras network is loaded once, then `model.predict` is called
for each image; time is taken without the loading. The floor is Pillow opening the same files in as
many processes. Writes benchmarks/results.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from itertools import chain
from multiprocessing import get_context
from pathlib import Path

from project import PROJECT
from vintraining.data import handwriting
from vintraining.drawing.cards import draw_cards

import numpy as np
import psutil
from PIL import Image
from results import write

from vinreader.processes import cores
from vinreader.spec import CHARACTERS

PREDICT = [sys.executable, str(PROJECT / "stages/predict.py")]
PER_FOLDER = 1000
PACKAGES = ("numpy", "opencv-python-headless", "pillow", "ai-edge-litert", "tensorflow", "ray")

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


def seconds(command: list[str], cwd: Path, runs: int = 1) -> float:
    """Wall-clock seconds of the fastest run."""
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
        taken.append(time.perf_counter() - start)
        if result.returncode not in (0, 1):
            sys.exit(result.stderr)
    return min(taken)


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


def floor(paths: list[Path], jobs: int, runs: int) -> float:
    taken = []
    for _ in range(runs):
        start = time.perf_counter()
        with get_context("fork").Pool(jobs) as pool:
            pool.map(decode, [paths[i : i + 100] for i in range(0, len(paths), 100)], 1)
        taken.append(time.perf_counter() - start)
    return min(taken)


def student(paths: list[Path], model: Path) -> float:
    """Seconds an image."""
    result = subprocess.run(
        [sys.executable, "-c", STUDENT, str(model)],
        input="\n".join(map(str, paths)),
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    if result.returncode:
        sys.exit(result.stderr)
    return float(result.stdout)


def write_cards(folder: Path, count: int) -> None:
    drawn = draw_cards(min(count, 50))
    for number in range(count):
        place = folder / f"card-{number:04}"
        place.mkdir(parents=True)
        for box, image in enumerate(drawn[number % len(drawn)].boxes, start=1):
            Image.fromarray(image).save(place / f"{box:02}.png")


def page_opens(path: Path, runs: int) -> float:
    """Seconds until the review page can be used, in headless Chromium."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"):
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    ready = "return document.body && document.body.dataset.ready === 'true'"
    taken = []
    try:
        for _ in range(runs):
            browser.get("about:blank")
            start = time.perf_counter()
            browser.get(path.as_uri())
            WebDriverWait(browser, 60, 0.02).until(lambda b: b.execute_script(ready))
            taken.append(time.perf_counter() - start)
    finally:
        browser.quit()
    return min(taken)


def further_image(engine: list[str], few: Path, many: Path, cwd: Path, count: int) -> float:
    """Seconds of each image by which one folder is larger than the other."""
    taken = []
    for folder in (few, many):
        taken.append(seconds([*PREDICT, str(folder), *engine], cwd))
        shutil.rmtree(cwd / "predictions.parquet", ignore_errors=True)
    return (taken[1] - taken[0]) / count


class Load(threading.Thread):
    """How much others wanted the processor, for it makes every figure worse."""

    def __init__(self):
        super().__init__(daemon=True)
        self.samples, self.over = [], threading.Event()
        self.began, self.stolen = time.monotonic(), stolen()

    def run(self):
        me = psutil.Process()
        while not self.over.wait(5):
            own = {me.pid, *(p.pid for p in me.children(recursive=True))}
            shares = [
                p.cpu_percent()
                for p in psutil.process_iter()
                if p.pid not in own and p.is_running()
            ]
            self.samples.append(sum(shares) / 100)

    def told(self) -> str:
        """Ends the count and says what it came to."""
        self.over.set()
        self.join()
        processes = np.mean(self.samples) if self.samples else 0.0
        host = (stolen() - self.stolen) / (time.monotonic() - self.began)
        return (
            f"Meanwhile other processes used {processes:.1f} cores, other machines of the host "
            f"{host:.1f}."
        )


def stolen() -> float:
    """Processor seconds that the host of a virtual machine gave to others since it started."""
    return getattr(psutil.cpu_times(), "steal", 0.0)  # Linux tells


Row = tuple[str, str, str, str]  # what was measured, ours, compared with, ratio


def speed(paths: list[Path], folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """Of many images, beside the student pattern and the floor."""
    # In turns, so that what else the machine does disturbs both alike.
    pairs = []
    for _ in range(options.runs):
        ours = seconds([*PREDICT, str(folder / "images")], folder)
        pairs.append((ours, floor(paths, cores(), 1)))
    ours, decoding = (min(taken) for taken in zip(*pairs, strict=True))
    alone = student(paths[: options.student], options.model)
    count = len(paths)
    yield (
        f"{count:,} PNG boxes, whole command, against the student pattern",
        f"{count / ours:,.0f} images a second",
        f"{1 / alone:,.1f}",
        f"{alone * count / ours:,.0f} times as fast",
    )
    ratio = statistics.median(a / b for a, b in pairs)
    yield (
        f"{count:,} PNG boxes, whole command, against opening them with Pillow",
        f"{ours:.2f} s",
        f"{decoding:.2f} s",
        f"{ratio:.1f} times as long",
    )


def start(folder: Path, runs: int) -> Iterator[Row]:
    """Of a card, beside the import of TensorFlow."""
    write_cards(folder / "one", 1)
    importing = [sys.executable, "-c", "import tensorflow"]
    pairs = [
        (seconds([*PREDICT, str(folder / "one")], folder), seconds(importing, folder))
        for _ in range(runs)
    ]
    ours, tensorflow = (min(taken) for taken in zip(*pairs, strict=True))
    yield (
        "a card's 17 boxes, whole command, against `import tensorflow`",
        f"{ours:.2f} s",
        f"{tensorflow:.2f} s",
        f"1/{tensorflow / ours:.0f}",
    )


def memory(
    paths: list[Path], folder: Path, many: Path, options: argparse.Namespace
) -> Iterator[Row]:
    """Of many images in one folder, beside fewer in several."""
    small = peak_memory([*PREDICT, str(folder / "images")], folder)
    large = peak_memory([*PREDICT, str(many)], folder)
    yield (
        f"largest memory of all processes, {options.many:,} images in a folder "
        f"against {len(paths):,} in several",
        f"{large:,.0f} MB",
        f"{small:,.0f} MB",
        f"{large / small:.2f} times",
    )


def page(folder: Path, options: argparse.Namespace) -> Iterator[Row]:
    """The review page in a browser, where there is one."""
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return
    write_cards(folder / "cards", options.cards)
    seconds([*PREDICT, str(folder / "cards"), "--output", "cards/predictions.csv"], folder)
    opened = page_opens(folder / "cards/review.html", options.runs)
    yield (
        f"review page with {options.cards:,} cards",
        f"open after {opened:.1f} s",
        "3 s",
        f"{opened / 3:.2f}",
    )


def ray(paths: list[Path], folder: Path, many: Path, options: argparse.Namespace) -> Iterator[Row]:
    """A further image on Ray, where it is installed, beside our own processes."""
    if not find_spec("ray"):
        return
    few = link(paths, folder / "few", options.many // 5)
    further = options.many - options.many // 5
    local = further_image([], few, many, folder, further)
    engine = ["--engine", "ray", "--jobs", str(cores())]
    distributed = further_image(engine, few, many, folder, further)
    yield (
        "seconds of a further image, Ray with as many workers against our own processes",
        f"{distributed * 1e6:.0f} µs",
        f"{local * 1e6:.0f} µs",
        f"{distributed / local:.2f} times",
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--many", type=int, default=100_000, help="for memory and Ray")
    parser.add_argument("--student", type=int, default=300, help="images for the student pattern")
    parser.add_argument("--cards", type=int, default=1000, help="on the review page")
    parser.add_argument("--runs", type=int, default=3, help="of which the fastest counts")
    parser.add_argument(
        "--model",
        type=Path,
        default=PROJECT / "models/vin-reader.keras",
        help="the Keras network of the student pattern",
    )
    parser.add_argument("--litert", type=Path, help="model that predict.py reads with")
    return parser.parse_args()


def main() -> None:
    options = parse()
    if options.litert:
        PREDICT.extend(["--model", str(options.litert.absolute())])
    rows: list[Row] = [("", "ours", "compared with", "ratio")]
    load = Load()
    load.start()
    with tempfile.TemporaryDirectory() as temporary:
        here = Path(temporary)
        paths = write_images(here / "images", options.images)
        many = link(paths, here / "many", options.many)
        for row in chain(
            speed(paths, here, options),
            start(here, options.runs),
            memory(paths, here, many, options),
            page(here, options),
            ray(paths, here, many, options),
        ):
            rows.append(row)
            what, ours, other, ratio = row
            print(f"{what}: {ours} against {other}: {ratio}", flush=True)
    write("Reading, measured", PACKAGES, rows, load.told())


if __name__ == "__main__":
    main()
