"""Whole cards by one hand: all 17 boxes of a card are by one writer who had no part in training.

    python benchmarks/one_pen.py data/labelled/unipen
    python benchmarks/one_pen.py data/labelled/unipen --writers ced aga --model FILE.tflite
    python benchmarks/one_pen.py data/labelled/swiss-digits --letters data/labelled/letters

Digits and letters come from the same folder and pen, so that nothing but the shape tells them
apart. A card's number is a real one that its writer gave every character of, with new serial
digits. By default it is of Europe or the former USSR, from data/numbers, of a source that the
statistics were not learned from: they are learned anew without each source in turn. Numbers of
--numbers (column vin) are read with the reader's statistics as they are. Writers are those that
the reader's record names as tested on, or all where it does not name the folder. With --letters
each card has the digits of a writer of one folder and the letters of a writer of the other.

Prints a table; intervals (95 %) by bootstrap over writers (of the digits).
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.console import stage
from vintraining.numbers import simulate, statistics
from vintraining.parameters import load
from vintraining.scores.figures import acceptable

import hands
import numpy as np

from vinreader.number import prior
from vinreader.reader import RELEASED, CardReading, Reader
from vinreader.spec import DIGITS, UserError

TARGET = 0.005  # errors among the accepted, for what could be accepted in hindsight

Pen = dict[str, list[np.ndarray]]  # images of each character


@dataclass(frozen=True)
class Card:
    """What was read of a card of number `vin`, by `writer`."""

    vin: str
    writer: str
    reading: CardReading


def pens(boxes: list[hands.Box], least: int = 0, characters: str = "") -> dict[str, Pen]:
    """By writer: the images of each character (of `characters` alone, if given), of the writers
    who gave `least` images."""
    found: dict[str, Pen] = defaultdict(lambda: defaultdict(list))
    for box in boxes:
        if not characters or box.character in characters:
            found[box.writer][box.character].append(box.image)
    return {name: pen for name, pen in found.items() if sum(map(len, pen.values())) >= least}


def both_kinds(pen: Pen) -> bool:
    return 0 < sum(character in DIGITS for character in pen) < len(pen)


def draw(vin: str, pen: Pen, rng: np.random.Generator) -> list[np.ndarray]:
    """17 images: none twice while the writer gave others of the character."""
    left: Pen = {}
    images = []
    for character in vin:
        if not left.get(character):
            left[character] = [pen[character][i] for i in rng.permutation(len(pen[character]))]
        images.append(left[character].pop())
    return images


def written(
    vins: list[str], pen: Pen, count: int, rng: np.random.Generator
) -> Iterator[tuple[str, list[np.ndarray]]]:
    """Cards of numbers with new serial digits; none where the pen can write none of them."""
    possible = [vin for vin in vins if set(vin[:-4]) <= set(pen)]
    for _ in range(count if possible else 0):
        vin = simulate.fresh(str(rng.choice(possible)), rng)
        while not set(vin) <= set(pen):
            vin = simulate.fresh(str(rng.choice(possible)), rng)
        yield vin, draw(vin, pen, rng)


def numbers(
    reader: Reader, file: Path | None, groups: list[str]
) -> Iterator[tuple[prior.Prior, list[str]]]:
    """Numbers, and the statistics that do not know them."""
    found, how = statistics.read(file or Path("data/numbers")), load().numbers
    parts = [("", [], list(found.vins))] if file else statistics.folds(found, how.fold)
    for _, taught, held in parts:
        if vins := [vin for vin in held if simulate.group(vin) in groups]:
            yield reader.prior if file else prior.build(statistics.learn(taught, how)), vins


def report(name: str, cards: list[Card]) -> None:
    right = np.array([card.reading.vin == card.vin for card in cards])
    accepted = np.array([card.reading.status == "ok" for card in cards])
    confidence = np.array([card.reading.confidence for card in cards])
    every = np.ones(len(cards), bool)
    boxes = np.mean([a == b for c in cards for a, b in zip(c.reading.raw, c.vin, strict=True)])
    even = np.full(len(cards), 1 / len(cards))
    writers = [card.writer for card in cards]
    print(
        "| cards | boxes right | whole right | said | accepted | wrong among these | in hindsight |"
    )
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {name}: {len(cards):,} by {len(set(writers))} writers | "
        f"{boxes:.1%} | {hands.share(writers, right, every)} | {confidence.mean():.1%} | "
        f"{hands.share(writers, accepted, every)} | {hands.share(writers, ~right, accepted)} | "
        f"{acceptable(confidence, ~right, even, TARGET):.1%} |"
    )


def read(folder: Path, reader: Reader, writers: list[str] | None) -> list[hands.Box]:
    return hands.read(folder, writers or hands.held_out(reader, folder.name))


def pens_of(options: argparse.Namespace, reader: Reader) -> dict[str, list[Pen]]:
    """By writer: the pens that cards are written with, one, or one with each writer's letters."""
    boxes = read(options.folder, reader, options.writers)
    if not options.letters:
        mine = pens(boxes, options.least)
        return {name: [pen] for name, pen in mine.items() if both_kinds(pen)}
    letters = pens(read(options.letters, reader, options.writers_of_letters)).values()
    return {
        name: [{**{c: i for c, i in other.items() if c not in DIGITS}, **pen} for other in letters]
        for name, pen in pens(boxes, options.least, DIGITS).items()
    }


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="labelled folder with the column writer")
    parser.add_argument("--letters", type=Path, help="folder whose writers give the letters")
    parser.add_argument("--model", type=Path, default=RELEASED)
    parser.add_argument("--writers", nargs="+", help="these writers or laboratories alone")
    parser.add_argument("--writers-of-letters", nargs="+", help="the same of --letters")
    parser.add_argument(
        "--least", type=int, default=30, help="images that a writer must have given"
    )
    parser.add_argument("--numbers", type=Path, help="folder of numbers unknown to the reader")
    parser.add_argument("--groups", nargs="+", default=["europe", "former_ussr"])
    parser.add_argument("--cards", type=int, default=2000)
    options = parser.parse_args()
    reader = Reader(options.model)
    rng = np.random.default_rng(load().seed)
    writers = pens_of(options, reader)
    parts = list(numbers(reader, options.numbers, options.groups))
    if not writers or not parts:
        raise UserError("no writer of both kinds" if parts else "no number of these groups")
    total = sum(len(vins) for _, vins in parts)
    cards = []
    for known, vins in parts:
        reader.prior = known
        for name, choice in writers.items():
            count = rng.binomial(round(options.cards / len(writers)), len(vins) / total)
            for pen in rng.choice(np.array(choice, object), count):
                for vin, images in written(vins, pen, 1, rng):
                    cards.append(Card(vin, name, reader.read_card(images)))
    report(options.folder.name, cards)


if __name__ == "__main__":
    main()
