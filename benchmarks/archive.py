"""A simulated archive: how much better a reader gets from the cards that its clerks check.

    python benchmarks/archive.py --work DIR
    python benchmarks/archive.py --work DIR --errors 0.02 --rounds 300 1000
    python benchmarks/archive.py --work DIR --network DIR/first.keras --set adapt.share=0.25

Cards carry real numbers with new serial digits, of sources that the statistics do not know. All
digits of a card are by one Swiss writer of data/labelled/swiss-digits, its letters are of EMNIST's
test part; `paper` puts each into a printed box, all boxes of a card scanned alike. The first reader
(DIR/first.keras) has never seen Swiss digits: the trained network, finetuned with what it was
trained on alone. In each round it is taught anew, from the cards checked so far, as the stage
`adapt` does it, by clerks who err in `--errors` of the boxes. It is then measured on cards that
nobody checked: of the writers who wrote the checked ones (other images of theirs), and of four who
wrote none; and on the EMNIST test characters that stand on no card.

Prints a table, writes DIR/archive.json and DIR/archive.png. Takes data/split, data/labelled and
data/numbers of the last `dvc repro`. The few images of a writer stand on many cards, each time on
other paper: an archive has more variety, so a round of 3,000 here tells less than one there.
"""

import argparse
import json
import os
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import project  # noqa: F401 (finds what is imported below)
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.drawing import paper
from vintraining.hands import adaptation, batches, labelled
from vintraining.model import learning, network
from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics
from vintraining.parameters import PARAMS_FILE, Parameters, load
from vintraining.scores import accepting, transfer
from vintraining.scores import cards as card_scores

import cv2
import numpy as np
from reproducible import change

from vinreader.files import sha256, write_json, write_text
from vinreader.image.boxes import normalise
from vinreader.number import decoding
from vinreader.number import prior as numbers
from vinreader.spec import BOXES, CHARACTERS, DIGITS, INDEX

SPLIT = Path("data/split").resolve()
TRAINED = Path("models/vin-reader.keras").resolve()
SWISS = (labelled.FOLDER / "swiss-digits").resolve()
NUMBERS = Path("data/numbers").resolve()
OWN = "emnist"
NEW_HANDS = 4  # writers who wrote none of the checked cards
ARCHIVE_SOURCES = 0.3  # share of the numbers that the archive's sources have, at least


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


def half_of(name: str) -> int:
    return int(sha256(name.encode())[:8], 16) % 2


def world(seed: int) -> World:
    rows = labelled.read_rows(SWISS)
    usable, pixels, _, _ = labelled.read_images(rows)
    writer_of = [dict(rows[at].owners)[0] for at in usable]
    halves = np.array([half_of(rows[at].path.name) for at in usable])
    labels = np.array([rows[at].label for at in usable], np.uint8)
    order = sorted(set(writer_of), key=lambda name: sha256(name.encode()))
    digits = {}
    for writer in order:
        for half in (0, 1):
            at = np.flatnonzero((np.array(writer_of) == writer) & (halves == half))
            digits[writer, half] = dataset.Characters(pixels[at], labels[at])
    test = dataset.load(SPLIT, "test")
    side = np.random.default_rng(seed).integers(2, size=len(test))
    letter = test.labels >= len(DIGITS)
    real = number_statistics.read(NUMBERS)
    sources = sorted(set(real.sources), key=lambda name: sha256(name.encode()))
    ours: set[str] = set()
    while sum(source in ours for source in real.sources) < ARCHIVE_SOURCES * len(real.vins):
        ours.add(sources[len(ours)])
    pairs = list(zip(real.vins, real.sources, strict=True))
    archive = [vin for vin, source in pairs if source in ours]
    return World(
        digits,
        [test[letter & (side == half)] for half in (0, 1)],
        [[vin for vin in archive if half_of(vin) == half] for half in (0, 1)],
        [(vin, source) for vin, source in pairs if source not in ours],
        order[NEW_HANDS:],
        order[:NEW_HANDS],
        test[(side == 1) | ~letter],
    )


def draw(
    made: World, writers: list[str], half: int, count: int, rng: np.random.Generator
) -> tuple[list[str], list[list[np.ndarray]]]:
    """Cards: their numbers, and the scans of their boxes."""
    vins = [simulate.fresh(str(v), rng) for v in rng.choice(made.vins[half], count)]
    cards = []
    for vin in vins:
        digits = made.digits[str(rng.choice(writers)), half]
        how = paper.decent_scan(rng)
        boxes = []
        for character in vin:
            pool = digits if character in DIGITS else made.letters[half]
            at = rng.choice(np.flatnonzero(pool.labels == INDEX[character]))
            boxes.append(paper.scan(pool.images[at], how, rng))
        cards.append(boxes)
    return vins, cards


def misread(vin: str, errors: float, rng: np.random.Generator) -> str:
    """What a clerk types who errs in this share of the boxes."""
    return "".join(
        str(rng.choice([c for c in CHARACTERS if c != character]))
        if rng.random() < errors
        else character
        for character in vin
    )


def check(
    name: str,
    vins: list[str],
    cards: list[list[np.ndarray]],
    share: float,
    errors: float,
    seed: int,
) -> None:
    """The batch that collect.py would make of cards which a clerk has checked."""
    rng = np.random.default_rng(seed)
    with batches.Batch(labelled.FOLDER / name, share) as batch:
        for number, (vin, boxes) in enumerate(zip(vins, cards, strict=True)):
            files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in boxes)
            scan = batches.Scan(f"{name}/{number}", (), files)
            batch.add(batches.Checked(scan.name, misread(vin, errors, rng)), scan)
        batch.write()


@dataclass(frozen=True)
class Cards:
    """Cards that nobody checked: their numbers, and their boxes as the network sees them."""

    vins: list[str]
    pixels: np.ndarray


def unseen(made: World, writers: list[str], count: int, seed: int) -> Cards:
    vins, cards = draw(made, writers, 1, count, np.random.default_rng(seed))
    return Cards(vins, np.stack([normalise(box).pixels for boxes in cards for box in boxes]))


@dataclass(frozen=True)
class Calibrated:
    """Temperature, thresholds of boxes and cards as the stage `evaluate` chooses them, and what
    these are from."""

    temperature: float
    thresholds: dict[str, float]
    calibrated_on: dict[str, Any]


def calibrate(model: Any, parameters: Parameters) -> Calibrated:
    sets = {OWN: dataset.load(SPLIT, "validation")} | adaptation.load(adaptation.VALIDATION)
    said = {n: transfer.Answers(network.logits(model, c.images), c.labels) for n, c in sets.items()}
    found, origins = adaptation.calibrate(said, parameters.evaluate)
    read = {n: (a.probabilities(found.temperature), a.labels) for n, a in said.items()}
    hands = {n: [read[n]] for n in read if n != OWN and n in origins}
    cards, of_cards = card_scores.thresholds(card_scores.Written(read[OWN], hands), parameters)
    return Calibrated(
        round(found.temperature, 5),
        {"boxes": round(found.threshold, 5)} | cards,
        {"boxes": origins, "cards": of_cards},
    )


def measure(
    model: Any, cards: Cards, prior: numbers.Prior, calibrated: Calibrated
) -> dict[str, Any]:
    """What the reader makes of cards."""
    labels = np.array([INDEX[c] for vin in cards.vins for c in vin])
    answers = transfer.Answers(network.logits(model, cards.pixels), labels)
    probabilities = answers.probabilities(calibrated.temperature)
    with np.errstate(divide="ignore"):
        found = decoding.decode_batch(
            prior, np.log(probabilities).reshape(-1, BOXES, len(CHARACTERS))
        )
    right = np.array([d.vin == vin for d, vin in zip(found, cards.vins, strict=True)])
    deployed = np.array([calibrated.thresholds[d.evidence] for d in found])
    confidence = np.array([d.confidence for d in found])
    accepted = accepting.at(deployed, confidence, ~right)
    return {
        "boxes_wrong": round(float((probabilities.argmax(axis=1) != labels).mean()), 5),
        "cards_right": round(float(right.mean()), 5),
        "boxes_looked_at": round(BOXES * (1 - accepted.accepted), 2),
        **accepted.figures(),
    }


def first_reader(path: Path, parameters: Parameters) -> None:
    """As the stage `finetune` makes it where there is no labelled folder."""
    model = network.load(TRAINED)
    learning.finetune(model, [(dataset.load(SPLIT, "train"), 1.0)], parameters)
    network.save(model, path)


def round_of(
    count: int, base: Path, made: World, tests: dict[str, Cards], parameters: Parameters
) -> dict[str, Any]:
    """A row of the table: taught from `count` checked cards, which lie in data/labelled."""
    start = time.process_time()
    model = network.load(base)
    archive = batches.gather(labelled.FOLDER)
    adaptation.save(archive)
    told: dict[str, Any] = {"boxes": 0, "level": "nothing"}
    if adaptation.TRAIN in archive.parts:
        own = archive.parts[adaptation.TRAIN].characters
        told = learning.learn(model, own, [(dataset.load(SPLIT, "train"), 1.0)], parameters)
    taken = time.process_time() - start
    table = number_statistics.learn(
        number_statistics.read(batches.NUMBERS).vins, parameters.numbers
    )
    write_json(card_scores.STATISTICS, table)
    found = calibrate(model, parameters)
    right = network.logits(model, made.rest.images).argmax(axis=1) == made.rest.labels
    row = {
        "cards": count,
        "cpu_seconds": round(taken),
        **told,
        **asdict(found),
        "emnist": round(float(dataset.class_weights(made.rest.labels) @ right), 5),
    }
    prior = numbers.build(table)
    for name, cards in tests.items():
        row[name] = measure(model, cards, prior, found)
    return row


def chart(path: Path, rounds: list[dict[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    panels = {
        "boxes_wrong": "boxes wrong",
        "cards_right": "whole cards right",
        "accepted": "accepted",
        "accepted_error": "wrong among accepted",
        "boxes_looked_at": "boxes a clerk looks at, a card",
    }
    figure, axes = plt.subplots(1, len(panels), figsize=(15, 3.2))
    for axis, (key, title) in zip(axes, panels.items(), strict=True):
        for name in ("same hands", "new hands"):
            values = [row[name][key] for row in rounds]
            axis.plot(range(len(rounds)), values, marker="o", label=name)
        axis.set_xticks(range(len(rounds)), [f"{row['cards']:,}" for row in rounds])
        axis.set_title(title, fontsize=10)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
        if key != "boxes_looked_at":
            axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes[0].legend(fontsize=8)
    figure.supxlabel("cards checked", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=100, metadata={"Software": None})


def show(row: dict[str, Any]) -> None:
    for name in ("same hands", "new hands"):
        told = row[name]
        low, high = told["accepted_error_95_percent_interval"]
        print(
            f"| {row['cards']:,} | {row['level']} | {name} | {told['boxes_wrong']:.2%} | "
            f"{told['cards_right']:.1%} | {told['accepted']:.1%} | {told['accepted_error']:.2%} "
            f"({low:.2%} to {high:.2%}) | {told['boxes_looked_at']:.1f} | {row['emnist']:.2%} | "
            f"{row['cpu_seconds']} s |",
            flush=True,
        )


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for all that is made")
    parser.add_argument("--network", type=Path, help="the first reader of another run")
    parser.add_argument("--set", nargs="+", default=[], help="parameters: adapt.share=0.25 …")
    parser.add_argument("--rounds", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--errors", type=float, default=0.003, help="of the clerk, a box")
    parser.add_argument("--cards", type=int, default=1000, help="that each round is measured on")
    parser.add_argument("--simulated", type=int, default=1000, help="as evaluate.cards")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    settings = [f"evaluate.cards={options.simulated}", *options.set]
    copied = Path(shutil.copy(PARAMS_FILE, options.work)).resolve()
    change(copied, settings)
    parameters = load(copied)
    network.be_reproducible(parameters.seed, parameters.train)
    made = world(parameters.seed)
    base = (options.network or options.work / "first.keras").resolve()
    os.chdir(options.work)
    if options.network is None:
        first_reader(base, parameters)
    tests = {
        "same hands": unseen(made, made.writers, options.cards, 11),
        "new hands": unseen(made, made.new, options.cards, 12),
    }
    known = "".join(f"{vin},{source}\n" for vin, source in made.known)
    write_text(batches.NUMBERS / "known.csv", "vin,source\n" + known)
    print(
        "| cards checked | learned | cards by | boxes wrong | cards right | accepted | wrong among "
        "accepted | boxes looked at | EMNIST | learning, CPU |\n" + "|---" * 10 + "|"
    )
    rounds: list[dict[str, Any]] = []
    done = 0
    for number, count in enumerate([0, *options.rounds]):
        if count:
            rng = np.random.default_rng(100 + number)
            vins, cards = draw(made, made.writers, 0, count - done, rng)
            share = parameters.adapt.kept
            check(f"round-{count}", vins, cards, share, options.errors, number)
        done = count
        rounds.append(round_of(count, base, made, tests, parameters))
        show(rounds[-1])
        Path("archive.json").write_text(json.dumps(rounds, indent=1))
        chart(Path("archive.png"), rounds)


if __name__ == "__main__":
    main()
