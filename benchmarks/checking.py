"""Seconds and keys a card, and errors left, when a person checks doubtful European cards.

    python benchmarks/checking.py --cards 300

drives the page in Chromium as a simulated clerk: keys are pressed in the real page, decisions are
read from the table that comes out; only the clerk's time is modelled. Numbers are real ones of
sources that the statistics are learned without (other last digits), characters are test characters,
each by another writer; the cards that the reader doubts are checked. Ways of working:

    keying              every box is typed, nothing is shown but the images
    card                the card view; the boxes that it marks are looked at
    mosaic              the marked boxes in the mosaic, then each card and what is left marked on it

The clerk's time is that of the keystroke-level model (Card, Moran and Newell: The keystroke-level
model for user performance time with interactive systems, CACM 23, 1980), in seconds:

    CODE 0.75     a key of a complex code that is read off (their slowest typing)
    KEY 0.28      any other key (average skilled typist)
    MENTAL 1.35   a decision: one a card, one for each box that is marked as doubtful, one a mosaic
    GLANCE 0.30   an image of the mosaic: a fixation (0.23) and a cognitive cycle (0.07), as in
                  their model human processor (1983)
    COMPARE 0.53  a box of a card, its image and its character: two fixations and a cycle

He overlooks 2 % of the wrong boxes that he looks at (--overlooked), and presses 0.5 % of the keys
of a code wrong without seeing it (--slips). Keying twice leaves what both clerks get wrong alike.
"""

import argparse
import csv
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from operator import ne
from pathlib import Path

from project import PROJECT
from vintraining import parameters
from vintraining.data import dataset
from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics

import cv2
import numpy as np
import requests
from results import write
from selenium.webdriver.common.keys import Keys
from stations import Page, browser, station

from vinchecking.building import Building
from vinchecking.store import FILE
from vinreader import review
from vinreader.image.boxes import Box
from vinreader.number import prior as numbers
from vinreader.reader import CardReading, Reader
from vinreader.spec import BOXES, CHARACTERS, INDEX
from vinreader.tables import ACCEPTED, VinRow, cells

CODE, KEY, MENTAL, GLANCE, COMPARE = 0.75, 0.28, 1.35, 0.30, 0.53
COLUMNS = (
    "way",
    "seconds a card",
    "keys a card",
    "seconds of keying",
    "keys of keying",
    "wrong boxes left",
    "wrong cards left",
)


@dataclass
class Card:
    """A card that was read. truth: its number; images: uint8 (28, 28) of its boxes."""

    name: str
    truth: str
    images: list[np.ndarray]
    reading: CardReading


@dataclass
class Clerk:
    """The simulated clerk: what he sees, and the time that it takes."""

    rng: np.random.Generator
    overlooked: float
    slips: float
    seconds: float = 0.0
    keys: int = 0

    def looks(self, boxes: int, each: float) -> None:
        self.seconds += boxes * each

    def decides(self, times: int = 1) -> None:
        self.seconds += times * MENTAL

    def presses(self, keys: int) -> None:
        self.keys += keys
        self.seconds += keys * KEY

    def types(self, character: str) -> str:
        """The key pressed for a character of a code."""
        self.keys += 1
        self.seconds += CODE
        if self.rng.random() >= self.slips:
            return character
        return str(self.rng.choice([c for c in CHARACTERS if c != character]))

    def notices(self, wrong: bool) -> bool:
        return wrong and self.rng.random() >= self.overlooked


# Cards


def european_cards(wanted: int, seed: int) -> tuple[list[Card], list[Card]]:
    """Cards that the reader doubts, so many, and those that it accepted on the way."""
    how = parameters.load().numbers
    real = number_statistics.read(PROJECT / "data/numbers")
    test = dataset.load(PROJECT / "data/split", "test")
    members = [np.flatnonzero(test.labels == c) for c in range(len(CHARACTERS))]
    rng = np.random.default_rng(seed)
    folds = [
        (taught, [vin for vin in held if simulate.group(vin) == "europe"])
        for _, taught, held in number_statistics.folds(real, how.fold)
    ]
    share = sum(len(held) for _, held in folds)
    doubtful: list[Card] = []
    sure: list[Card] = []
    for taught, held in folds:
        reader = Reader()
        reader.prior = numbers.build(number_statistics.learn(taught, how))
        chosen = rng.choice(held, -(-2 * wanted * len(held) // share)) if held else []
        vins = [simulate.fresh(str(vin), rng) for vin in chosen]
        rows = [[rng.choice(members[INDEX[c]]) for c in vin] for vin in vins]
        read = [reader.read_boxes([Box(test.images[i], False, "") for i in row]) for row in rows]
        for vin, row, reading in zip(vins, rows, reader.decode(read), strict=True):
            cards = sure if reading.status == "ok" else doubtful
            cards.append(Card("", vin, [test.images[i] for i in row], reading))
    chosen_cards = [doubtful[i] for i in rng.permutation(len(doubtful))[:wanted]]
    for number, card in enumerate(chosen_cards + sure):
        card.name = f"{number:04}"
    return chosen_cards, sure


def shown(card: Card) -> review.ReviewCard:
    read, size = card.reading, (48, 64)
    pictures = [
        review.picture(cv2.resize(255 - image, size, interpolation=cv2.INTER_CUBIC))
        for image in card.images
    ]
    confidences = [box.confidence for box in read.boxes]
    row = VinRow(card.name, **cells(read, VinRow))
    return review.ReviewCard(pictures, read.vin, confidences, read.alternatives, row)


# Ways of working


def key_everything(page: Page, clerk: Clerk, cards: dict[str, Card]) -> None:
    while (name := next_open(page)) is not None:
        clerk.decides()
        page.press(*(clerk.types(character) for character in cards[name].truth))
        clerk.presses(1)
        page.press(Keys.ENTER)


def next_open(page: Page) -> str | None:
    """The name of the card shown, None if it is decided: there is none left then."""
    name, status = page.told("[desk.card && desk.card.name, desk.state && desk.state.status]")
    return name if status == "open" else None


def check_cards(page: Page, clerk: Clerk, cards: dict[str, Card]) -> None:
    """Card by card: the marked boxes that nobody has settled are looked at."""
    while (name := next_open(page)) is not None:
        card = cards[name]
        doubts = page.told("[...desk.card.boxes.keys()].filter(isDoubtfulBox)")
        clerk.decides(1 + len(doubts))
        clerk.looks(len(doubts), COMPARE)
        reading = page.told("desk.state.reading")
        for box in doubts:
            if clerk.notices(reading[box] != card.truth[box]):
                move_to(page, clerk, box, doubts)
                page.press(clerk.types(card.truth[box]))
        clerk.presses(1)
        page.press(Keys.ENTER)


def move_to(page: Page, clerk: Clerk, box: int, doubts: list[int]) -> None:
    """With Space from one doubtful box to the next, or with arrows, whichever is shorter."""
    at = page.told("desk.box")
    spaces = sorted(doubts, key=lambda doubt: (doubt - at - 1) % BOXES).index(box) + 1
    if at != box and spaces <= abs(box - at):
        clerk.presses(spaces)
        page.press(*[Keys.SPACE] * spaces)
        at = page.told("desk.box")
    clerk.presses(abs(box - at))
    page.press(*[Keys.ARROW_RIGHT if box > at else Keys.ARROW_LEFT] * abs(box - at))


def mosaic_first(page: Page, clerk: Clerk, cards: dict[str, Card], by_id: list[str]) -> None:
    page.press(Keys.F2)
    clerk.presses(1)
    while page.told("mosaic.boxes.length > 0 && mosaic.doubtful"):
        settle_mosaic(page, clerk, cards, by_id)
    page.press(Keys.F2)
    clerk.presses(1)
    check_cards(page, clerk, cards)


def settle_mosaic(page: Page, clerk: Clerk, cards: dict[str, Card], by_id: list[str]) -> None:
    """A screen of the mosaic; the page goes on to the next one itself."""
    boxes = page.told("mosaic.boxes.map(({card, box, planted}) => [card, box, !!planted])")
    character, columns = page.told("[mosaic.character, columns()]")
    clerk.decides()
    clerk.looks(len(boxes), GLANCE)
    at = 0
    for place, (card, box, planted) in enumerate(boxes):
        right = cards[by_id[card]].truth[box] if by_id[card] in cards else None
        if not clerk.notices(planted or right != character):
            continue
        rows, across = place // columns - at // columns, place % columns - at % columns
        steps = [Keys.ARROW_RIGHT if across > 0 else Keys.ARROW_LEFT] * abs(across)
        steps += [Keys.ARROW_DOWN] * rows  # last: below the end of the last row is no box
        clerk.presses(len(steps))
        page.press(*steps)
        page.press(clerk.types(right or next(c for c in CHARACTERS if c != character)))
        at = min(place + 1, len(boxes) - 1)
    clerk.presses(1)
    page.press(Keys.ENTER)


# Measured


def left(table: str, cards: dict[str, Card]) -> tuple[int, int]:
    """Wrong boxes and wrong cards of a vins.csv. Every card of it was decided by a person."""
    rows = {row["card"]: row for row in csv.DictReader(table.splitlines())}
    assert all(rows[name]["decision"] in ACCEPTED for name in cards)
    wrong = [sum(map(ne, rows[name]["vin"], card.truth)) for name, card in cards.items()]
    return sum(wrong), sum(map(bool, wrong))


Work = Callable[[Page, Clerk, dict[str, Card]], None]


def at_station(
    page: Page, clerk: Clerk, work: Work, cards: dict[str, Card], sure: list[Card], blind: bool
) -> tuple[int, int]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Building(folder / FILE) as building:
            for card in [*cards.values(), *sure]:
                building.add(review.entry(shown(card)))
            building.write(folder / FILE, blind=range(len(cards)) if blind else ())
        with station(folder) as (_, url):
            page.open(url)
            work(page, clerk, cards)
            table = requests.get(f"{url}/api/vins.csv", timeout=60).text
    return left(table, cards)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cards", type=int, default=300)
    parser.add_argument("--overlooked", type=float, default=0.02)
    parser.add_argument("--slips", type=float, default=0.005)
    parser.add_argument("--seed", type=int, default=1981)
    parser.add_argument("--write", action="store_true", help="into benchmarks/results.md")
    arguments = parser.parse_args()
    cards, sure = european_cards(arguments.cards, arguments.seed)
    by_id = [card.name for card in cards + sure]
    marked = [review.marked(shown(card)) for card in cards]
    wrong = [[*map(ne, card.reading.vin, card.truth)] for card in cards]
    overlooked = sum(
        is_wrong and box not in boxes
        for boxes, card in zip(marked, wrong, strict=True)
        for box, is_wrong in enumerate(card)
    )
    told = (
        f"{len(cards)} doubtful cards, {len(sure)} accepted on the way; {sum(map(any, wrong))} of "
        f"the doubtful ones are read wrong; {sum(map(len, marked)) / len(cards):.1f} boxes a card "
        f"are marked, {overlooked} of {sum(map(sum, wrong))} wrong boxes are not."
    )
    print(told, flush=True)
    ways: dict[str, tuple[Work, bool]] = {
        "mosaic": (lambda *work: mosaic_first(*work, by_id), False),
        "keying": (key_everything, True),
        "card": (check_cards, False),
    }
    found: dict[str, tuple[float, float, int, int]] = {}
    with tempfile.TemporaryDirectory() as name, browser(Path(name)) as driver:
        for way, (work, blind) in ways.items():
            rng = np.random.default_rng(arguments.seed)
            clerk = Clerk(rng, arguments.overlooked, arguments.slips)
            named = {card.name: card for card in cards}
            left_wrong = at_station(Page(driver), clerk, work, named, sure, blind)
            found[way] = clerk.seconds / len(cards), clerk.keys / len(cards), *left_wrong
            print(way, *found[way], flush=True)
    seconds, keys, *_ = found["keying"]
    twice = len(cards) * BOXES * arguments.slips**2 / (len(CHARACTERS) - 1)
    found["keying twice, reckoned"] = 2 * seconds, 2 * keys, round(twice, 2), round(twice, 2)
    rows = [COLUMNS]
    for way, (its_seconds, its_keys, boxes, wrong_cards) in found.items():
        shares = f"{its_seconds / seconds:.0%}", f"{its_keys / keys:.0%}"
        counts = str(boxes), str(wrong_cards)
        rows.append((way, f"{its_seconds:.1f}", f"{its_keys:.1f}", *shares, *counts))
    print(*("  ".join(row) for row in rows), sep="\n")
    if arguments.write:
        write("Checking", ("selenium", "starlette", "uvicorn"), rows, told)


if __name__ == "__main__":
    main()
