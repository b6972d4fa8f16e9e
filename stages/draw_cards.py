"""Draw vehicle cards to try the reader with: folders of 17 box images, and what is written in them.

    python stages/draw_cards.py input/ --cards 8 --seed 1981

writes input/card-01/01.png … 17.png, one folder a card, and input/truth.csv (card,vin,flaw): the
number on each card, and what in it a reader should doubt, if anything. Files which are there
already and differ are never overwritten.
"""

import argparse
import sys
from pathlib import Path

from vintraining.drawing.cards import DrawnCard, draw_cards

import cv2
import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    parser.add_argument("--cards", type=int, default=8, help="how many cards (default: 8)")
    parser.add_argument("--seed", type=int, default=1981, help="another seed, other cards")
    parser.add_argument(
        "--whole", action="store_true", help="one wide image a card instead of its 17 boxes"
    )
    arguments = parser.parse_args()
    try:
        cards = draw_cards(arguments.cards, arguments.seed)
        save(card_files(cards, arguments.whole), arguments.folder)
    except (ValueError, OSError) as error:
        sys.exit(f"draw_cards: {error}")
    print(f"{len(cards)} cards in {arguments.folder}, what they say in truth.csv")
    flaws = [f"{_name(n)}: {card.flaw}" for n, card in enumerate(cards, 1) if card.flaw]
    if flaws:
        print(f"to be doubted: {'; '.join(flaws)}")


def card_files(cards: list[DrawnCard], whole: bool = False) -> dict[str, bytes]:
    """The files of cards: relative path -> bytes. whole: one image a card."""
    files, truth = {}, ["card,vin,flaw"]
    for number, card in enumerate(cards, 1):
        name = _name(number)
        truth.append(f"{name},{card.vin},{card.flaw}")
        if whole:
            files[f"{name}.png"] = _png(card.field)
        else:
            for box, image in enumerate(card.boxes, 1):
                files[f"{name}/{box:02}.png"] = _png(image)
    files["truth.csv"] = ("\n".join(truth) + "\n").encode()
    return files


def _name(number: int) -> str:
    return f"card-{number:02}"


def save(files: dict[str, bytes], folder: Path) -> None:
    """Write files (relative path -> bytes) into a folder.

    Raises:
        FileExistsError: a file with other content is in the way; nothing has been written then.
    """
    for path, content in files.items():
        there = folder / path
        if there.exists() and (there.is_dir() or there.read_bytes() != content):
            raise FileExistsError(
                f"{there} is there already and is another file; remove it or name another folder"
            )
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


if __name__ == "__main__":
    main()
