"""Draw vehicle cards to try the reader with: folders of 17 box images, and what is written in them.

    python stages/draw_cards.py input/ --cards 6 --seed 1981

writes input/card-01/01.png … 17.png, one folder a card, and input/truth.csv (card,vin).
Files which are there already and differ are never overwritten.
"""

import argparse
import sys
from pathlib import Path

import cv2

from vintraining.cards import draw_cards


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write; made if it is not there")
    parser.add_argument("--cards", type=int, default=6, help="how many cards (default: 6)")
    parser.add_argument("--seed", type=int, default=1981, help="another seed, other cards")
    parser.add_argument(
        "--whole", action="store_true", help="one wide image a card instead of its 17 boxes"
    )
    arguments = parser.parse_args()
    try:
        files = draw(arguments.cards, arguments.seed, arguments.whole)
        save(files, arguments.folder)
    except (ValueError, OSError) as error:
        sys.exit(f"draw_cards: {error}")
    print(f"{arguments.cards} cards in {arguments.folder}, what they say in truth.csv")


def draw(count, seed, whole=False):
    """The files of `count` cards: relative path -> bytes."""
    files, truth = {}, ["card,vin"]
    for number, card in enumerate(draw_cards(count, seed), 1):
        name = f"card-{number:02}"
        truth.append(f"{name},{card.vin}")
        if whole:
            files[f"{name}.png"] = _png(card.field)
        else:
            for box, image in enumerate(card.boxes, 1):
                files[f"{name}/{box:02}.png"] = _png(image)
    files["truth.csv"] = ("\n".join(truth) + "\n").encode()
    return files


def save(files, folder):
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


def _png(image):
    return cv2.imencode(".png", image)[1].tobytes()


if __name__ == "__main__":
    main()
