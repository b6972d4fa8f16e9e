"""The command `samples`: draws vehicle cards to try readers with, and compares readers on them.

`vin-reader samples input/` writes input/card-01/01.png … 17.png, one folder a card, and
input/truth.csv (card,vin,flaw): the number on each card, and what in it a reader should doubt.
Files which are there already and differ are never overwritten. With --compare it prints how the
released reader and the model of the last `dvc repro` read them; a wrong character is marked with ^.
"""

import argparse
import sys
from pathlib import Path

from vintraining import releasing
from vintraining.console import stage
from vintraining.drawing.cards import DrawnCard, draw_cards

import cv2

from vinreader.reader import RELEASED, Reader
from vinreader.spec import ModelError, UserError
from vinreader.tables import read_table


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    parser.add_argument("--cards", type=int, default=8, help="how many cards (default: 8)")
    parser.add_argument("--seed", type=int, default=1981, help="another seed, other cards")
    parser.add_argument(
        "--whole", action="store_true", help="one wide image a card instead of its 17 boxes"
    )
    parser.add_argument(
        "--compare", action="store_true", help="read the cards drawn before with two readers"
    )
    options = parser.parse_args()
    if options.compare:
        compare(options.folder)
        return
    try:
        cards = draw_cards(options.cards, options.seed)
    except ValueError as error:
        raise UserError(error) from None
    save(card_files(cards, options.whole), options.folder)
    print(f"{len(cards)} cards in {options.folder}, what they say in truth.csv")
    flaws = [f"{_name(n)}: {card.flaw}" for n, card in enumerate(cards, 1) if card.flaw]
    if flaws:
        print(f"to be doubted: {'; '.join(flaws)}")


def card_files(cards: list[DrawnCard], whole: bool) -> dict[str, bytes]:
    """The files of cards: relative path -> bytes. whole: one image a card."""
    files, truth = {}, "card,vin,flaw\n"
    for number, card in enumerate(cards, 1):
        name = _name(number)
        truth += f"{name},{card.vin},{card.flaw}\n"
        images = {f"{name}/{box:02}.png": image for box, image in enumerate(card.boxes, 1)}
        for path, image in ({f"{name}.png": card.field} if whole else images).items():
            files[path] = cv2.imencode(".png", image)[1].tobytes()
    return files | {"truth.csv": truth.encode()}


def _name(number: int) -> str:
    return f"card-{number:02}"


def save(files: dict[str, bytes], folder: Path) -> None:
    """Write files (relative path -> bytes) into a folder, or none of them. Raises: UserError where
    a file with other content is in the way."""
    for there, content in ((folder / path, content) for path, content in files.items()):
        if there.exists() and (there.is_dir() or there.read_bytes() != content):
            raise UserError(
                f"{there} is there already and is another file; remove it or name another folder"
            )
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def compare(folder: Path) -> None:
    """Prints both readers' readings of drawn cards. Raises: UserError where there are none."""
    cards = read_table(folder / "truth.csv", ("card", "vin"))
    readers = {}
    for name, path in (("released", RELEASED), ("just made", releasing.EXPORTED)):
        try:
            readers[name] = Reader(path)
        except ModelError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name:9}  {path}, trained on {readers[name].description['source']}")
    wrong = dict.fromkeys(readers, 0)
    for _, row in cards:
        print(f"\n{row['card']}    {row['vin']}")
        for name, reader in readers.items():
            boxes = sorted((folder / row["card"]).glob("*.png"))
            text = "".join(reader.read_file(box)[0].character or "-" for box in boxes)
            marks = "".join(" " if a == b else "^" for a, b in zip(row["vin"], text, strict=True))
            wrong[name] += marks.count("^")
            print(f"{name:9}  {text}" + (f"\n{'':9}  {marks}" if marks.strip() else ""))
    total = sum(len(row["vin"]) for _, row in cards)
    print()
    for name, count in wrong.items():
        print(f"{name:9}  {total - count} of {total} characters right, box by box")
