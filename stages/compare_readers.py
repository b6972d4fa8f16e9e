"""Reads the drawn sample cards with the released reader and with the model just made.

    python stages/compare_readers.py input/

prints both readings, box by box, below what stands on each card (truth.csv); a wrong character is
marked with ^ below it.
"""

import argparse
import csv
import sys
from pathlib import Path

from vinreader.reader import RELEASED, Reader
from vinreader.spec import ModelError

EXPORTED = Path("models/vin-reader.tflite")


def marks(truth: str, read: str) -> str:
    return "".join(" " if a == b else "^" for a, b in zip(truth, read, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder that draw_cards.py has written")
    folder = parser.parse_args().folder
    try:
        with (folder / "truth.csv").open(newline="", encoding="utf-8") as file:
            cards = [(row["card"], row["vin"]) for row in csv.DictReader(file)]
    except (OSError, KeyError) as error:
        sys.exit(f"compare_readers: {folder}: no drawn cards ({error}); run stages/draw_cards.py")
    readers = {}
    for name, path in (("released", RELEASED), ("just made", EXPORTED)):
        try:
            readers[name] = Reader(path)
        except ModelError as error:
            print(f"{name}: {error}", file=sys.stderr)
            continue
        print(f"{name:9}  {path}, trained on {readers[name].description['source']}")
    wrong = dict.fromkeys(readers, 0)
    for card, truth in cards:
        print(f"\n{card}    {truth}")
        for name, reader in readers.items():
            boxes = sorted((folder / card).glob("*.png"))
            text = "".join(reader.read_file(box)[0].character or "-" for box in boxes)
            below = marks(truth, text)
            wrong[name] += below.count("^")
            print(f"{name:9}  {text}" + (f"\n{'':9}  {below}" if below.strip() else ""))
    total = sum(len(truth) for _, truth in cards)
    print()
    for name, count in wrong.items():
        print(f"{name:9}  {total - count} of {total} characters right, box by box")


if __name__ == "__main__":
    main()
