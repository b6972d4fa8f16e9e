"""A simulated archive: how much better a reader gets from the cards that its clerks check.

    python benchmarks/archive.py --work DIR
    python benchmarks/archive.py --work DIR --errors 0.02 --rounds 300 1000
    python benchmarks/archive.py --work DIR --set finetune.steps=3000

Cards carry real numbers with new serial digits, of sources that the statistics do not know. All
digits of a card are by one Swiss writer of data/labelled/swiss-digits, its letters are of EMNIST's
test part; `paper` puts each into a printed box, all boxes of a card scanned alike. The first reader
has never seen Swiss digits: the trained network of the last `dvc repro`, finetuned with the other
labelled folders. Each round goes the way of an archive, with the same commands: the reader reads
new cards, a clerk decides on each and errs in `--errors` of the boxes, `vin-reader collect` takes
the cards in, and the stages numbers, finetune, evaluate and export make the next reader. It is
measured on cards that nobody checked: of the writers who wrote the checked ones (other images of
theirs), and of four who wrote none; and on the EMNIST test characters that stand on no card.

Prints a table, writes DIR/archive.json and DIR/archive.png. Intervals by bootstrap over writers.
The few images of a writer stand on many cards, each time on other paper: an archive has more
variety, so a round of 3,000 here tells less than one there.
"""

import argparse
import csv
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from project import PROJECT, run_stages, vin_reader, workspace
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.drawing import paper
from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics

import cv2
import hands
import numpy as np

from vinreader.decisions import decided, read_vins
from vinreader.files import sha256, write_json, write_text
from vinreader.image.boxes import normalise
from vinreader.reader import Reader
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX
from vinreader.tables import VinRow

SWISS = "swiss-digits"
MODEL = Path("models/vin-reader.tflite")
NEW_HANDS = 4  # writers who wrote none of the checked cards
ARCHIVE_SOURCES = 0.3  # share of the numbers that the archive's sources have, at least
LEARNING = ("numbers", "finetune", "evaluate", "export")
TESTS = ("same hands", "new hands")
FIGURES = {
    "boxes_wrong": "boxes wrong",
    "cards_right": "whole cards right",
    "accepted": "accepted",
    "boxes_looked_at": "boxes a clerk looks at, a card",
}


@dataclass
class World:
    """What cards are made of, by half 0 for checked cards and 1 for the others.

    digits: by writer and half; letters, vins: by half; known: numbers of other sources, and these;
    writers: of checked cards; new: the others; rest: EMNIST test characters on no checked card.
    """

    digits: dict[tuple[str, int], dataset.Characters]
    letters: list[dataset.Characters]
    vins: list[list[str]]
    known: list[tuple[str, str]]
    writers: list[str]
    new: list[str]
    rest: dataset.Characters


@dataclass(frozen=True)
class Card:
    """A number, who wrote its digits, and the scans of its boxes."""

    vin: str
    writer: str
    boxes: list[np.ndarray]


def half_of(image: bytes) -> int:
    return int(sha256(image)[:8], 16) % 2


def shuffled(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: sha256(name.encode()))


def world(seed: int) -> World:
    digits: dict[tuple[str, int], dataset.Characters] = {}
    boxes = hands.read(PROJECT / "data/labelled" / SWISS)
    order = shuffled({box.writer for box in boxes})
    for writer in order:
        for half in (0, 1):
            of = [b for b in boxes if b.writer == writer and half_of(b.image.tobytes()) == half]
            pixels = np.stack([normalise(box.image).pixels for box in of])
            labels = np.array([INDEX[box.character] for box in of], np.uint8)
            digits[writer, half] = dataset.Characters(pixels, labels)
    test = dataset.load(PROJECT / "data/split", "test")
    side = np.random.default_rng(seed).integers(2, size=len(test))
    letter = test.labels >= len(DIGITS)
    real = number_statistics.read(PROJECT / "data/numbers")
    ours: set[str] = set()
    for source in shuffled(set(real.sources)):
        if sum(one in ours for one in real.sources) < ARCHIVE_SOURCES * len(real.vins):
            ours.add(source)
    pairs = list(zip(real.vins, real.sources, strict=True))
    archive = [vin for vin, source in pairs if source in ours]
    return World(
        digits,
        [test[letter & (side == half)] for half in (0, 1)],
        [[vin for vin in archive if half_of(vin.encode()) == half] for half in (0, 1)],
        [(vin, source) for vin, source in pairs if source not in ours],
        order[NEW_HANDS:],
        order[:NEW_HANDS],
        test[(side == 1) | ~letter],
    )


def draw(
    made: World, writers: list[str], half: int, count: int, rng: np.random.Generator
) -> list[Card]:
    cards = []
    for real in rng.choice(made.vins[half], count):
        vin, writer = simulate.fresh(str(real), rng), str(rng.choice(writers))
        how, boxes = paper.decent_scan(rng), []
        for character in vin:
            pool = made.digits[writer, half] if character in DIGITS else made.letters[half]
            at = rng.choice(np.flatnonzero(pool.labels == INDEX[character]))
            boxes.append(paper.scan(pool.images[at], how, rng))
        cards.append(Card(vin, writer, boxes))
    return cards


def typed(vin: str, errors: float, rng: np.random.Generator) -> str:
    """What a clerk types who errs in this share of the boxes."""
    return "".join(
        str(rng.choice([c for c in CHARACTERS if c != character]))
        if rng.random() < errors
        else character
        for character in vin
    )


def check(folder: Path, cards: list[Card], errors: float, rng: np.random.Generator) -> None:
    """Reads cards in a folder of their own, decides on each as a clerk, and takes them in."""
    for number, card in enumerate(cards):
        place = folder / f"card-{number:05}"
        place.mkdir(parents=True)
        for box, image in enumerate(card.boxes, 1):
            cv2.imwrite(str(place / f"{box:02}.png"), image)
    work, table = folder.parent, folder.with_suffix(".csv")
    vin_reader("read", folder.name, "--model", MODEL, cwd=work)
    truth = {f"card-{number:05}": card.vin for number, card in enumerate(cards)}
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, VinRow._fields)
        writer.writeheader()
        for _, row in read_vins(work / "vins.csv"):
            number = typed(truth[row.card], errors, rng)
            done = decided(row, "done", row.vin, number, "clerk", "2024-01-01T00:00:00Z")
            writer.writerow(done._asdict())
    vin_reader("collect", folder.name, table.name, cwd=work)


def measure(reader: Reader, cards: list[Card]) -> dict[str, Any]:
    """What the reader makes of cards that nobody has checked."""
    readings = [reader.read_card(card.boxes) for card in cards]
    truth = np.array([list(card.vin) for card in cards])
    right = np.array([reading.vin for reading in readings]) == ["".join(vin) for vin in truth]
    accepted = np.array([reading.status == "ok" for reading in readings])
    writers = [card.writer for card in cards]
    return {
        "boxes_wrong": float((np.array([list(r.raw) for r in readings]) != truth).mean()),
        "cards_right": float(right.mean()),
        "accepted": float(accepted.mean()),
        "boxes_looked_at": BOXES * float(1 - accepted.mean()),
        "wrong_among_accepted": hands.share(writers, ~right, accepted),
    }


def next_reader(work: Path, count: int, tests: dict[str, list[Card]], rest: Any) -> dict[str, Any]:
    """A row of the table: a reader taught from all cards checked so far."""
    start = time.perf_counter()
    run_stages(work, *LEARNING)
    seconds, reader = time.perf_counter() - start, Reader(work / MODEL)
    right = reader.probabilities(rest.images).argmax(axis=1) == rest.labels
    row: dict[str, Any] = {
        "cards": count,
        "seconds": round(seconds),
        "emnist": float(dataset.class_weights(rest.labels) @ right),
    }
    return row | {name: measure(reader, cards) for name, cards in tests.items()}


def chart(path: Path, rounds: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(FIGURES), figsize=(13, 3.2))
    for axis, (key, title) in zip(axes, FIGURES.items(), strict=True):
        for name in TESTS:
            axis.plot([row[name][key] for row in rounds], marker="o", label=name)
        axis.set_xticks(range(len(rounds)), [f"{row['cards']:,}" for row in rounds])
        axis.set(title=title, ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=8)
    figure.supxlabel("cards checked", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def show(row: dict[str, Any]) -> None:
    for name in TESTS:
        found = row[name]
        print(
            f"| {row['cards']:,} | {name} | {found['boxes_wrong']:.2%} | "
            f"{found['cards_right']:.1%} | {found['accepted']:.1%} | "
            f"{found['wrong_among_accepted']} | {found['boxes_looked_at']:.1f} | "
            f"{row['emnist']:.2%} | {row['seconds']} s |",
            flush=True,
        )


def found_archive(work: Path, made: World, settings: list[str]) -> None:
    """The folder that the archive's readers are made in: without Swiss digits, and with the numbers
    of other sources alone."""
    work.mkdir(parents=True, exist_ok=True)
    without = ("data/labelled", "data/numbers", "models/vin-numbers.json")
    workspace(work, ["numbers.base=none", *settings], without)
    (work / "data/labelled").mkdir()
    for folder in (PROJECT / "data/labelled").iterdir():
        if folder.is_dir() and folder.name != SWISS:
            shutil.copytree(folder, work / "data/labelled" / folder.name)
    known = "".join(f"{vin},{source}\n" for vin, source in made.known)
    (work / "data/numbers").mkdir()
    write_text(work / "data/numbers/known.csv", "vin,source\n" + known)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="new folder for all that is made")
    parser.add_argument("--set", nargs="+", default=[], help="parameters: finetune.steps=3000 …")
    parser.add_argument("--rounds", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--errors", type=float, default=0.003, help="of the clerk, a box")
    parser.add_argument("--cards", type=int, default=1000, help="that each round is measured on")
    parser.add_argument("--seed", type=int, default=1981)
    options = parser.parse_args()
    made, work = world(options.seed), options.work.resolve()
    found_archive(work, made, options.set)
    rng = np.random.default_rng(options.seed)
    tests = {
        name: draw(made, writers, 1, options.cards, rng)
        for name, writers in zip(TESTS, (made.writers, made.new), strict=True)
    }
    print(
        "| cards checked | cards by | boxes wrong | cards right | accepted | wrong | "
        "boxes looked at | EMNIST | learning |\n" + "|---" * 9 + "|"
    )
    rounds = [next_reader(work, 0, tests, made.rest)]
    show(rounds[0])
    for before, count in zip([0, *options.rounds], options.rounds, strict=False):
        cards = draw(made, made.writers, 0, count - before, rng)
        check(work / f"round-{count}", cards, options.errors, rng)
        rounds.append(next_reader(work, count, tests, made.rest))
        show(rounds[-1])
        write_json(work / "archive.json", rounds)
        chart(work / "archive.png", rounds)


if __name__ == "__main__":
    main()
