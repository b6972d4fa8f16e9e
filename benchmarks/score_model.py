"""Scores an exported model on characters by hands that it was not trained on.

    python benchmarks/score_model.py --model FILE.tflite data/labelled/*
    python benchmarks/score_model.py --model FILE.tflite --archive data/emnist/gzip.zip

A row a labelled folder: of writers whom the model's record names as tested on, or all where it does
not name the folder. `kind known`: right among the ten digits, or the 23 letters. Intervals (95 %)
by bootstrap over writers, where the folder tells them.
"""

import argparse
import tempfile
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.console import stage
from vintraining.data import archive, emnist
from vintraining.scores.figures import acceptable

import hands
import numpy as np

from vinreader.reader import RELEASED, Reader
from vinreader.spec import CHARACTERS, DIGITS

TARGET = 0.005  # errors among the accepted, for what could be accepted in hindsight


def archive_test(path: Path, split: str) -> list[hands.Box]:
    """The test characters of EMNIST in NIST's layout that a number can hold."""
    with tempfile.TemporaryDirectory() as folder:
        archive.copy_local(path, split, Path(folder))
        images, labels = (
            emnist.decode_idx(Path(folder, name(split, "test")).read_bytes())
            for name in (emnist.images_member, emnist.labels_member)
        )
        mapping = emnist.parse_mapping(Path(folder, emnist.mapping_member(split)).read_text())
    found = zip(emnist.turned(images), map(chr, map(mapping.get, labels)), strict=True)
    return [hands.Box(image, c, "") for image, c in found if c in CHARACTERS]


def report(name: str, boxes: list[hands.Box], reader: Reader) -> None:
    readings = reader.read([box.image for box in boxes])
    truth = np.array([box.character for box in boxes])
    right = np.array([reading.character for reading in readings]) == truth
    accepted = np.array([reading.status == "ok" for reading in readings])
    probabilities = np.stack([reading.probabilities for reading in readings])
    digits = np.isin(list(CHARACTERS), list(DIGITS))
    known = probabilities * (np.isin(truth, list(DIGITS))[:, None] == digits)
    kind_known = np.array(list(CHARACTERS))[known.argmax(axis=1)] == truth
    confidence = np.array([reading.confidence for reading in readings])
    even, every = np.full(len(boxes), 1 / len(boxes)), np.ones(len(boxes), bool)
    writers = [box.writer or str(number) for number, box in enumerate(boxes)]
    alike = np.mean([right[truth == c].mean() for c in set(truth)])
    print(
        f"| {name} | {len(boxes):,} | {hands.share(writers, right, every)} | {alike:.1%} | "
        f"{kind_known.mean():.1%} | {accepted.mean():.1%} | "
        f"{hands.share(writers, ~right, accepted)} | "
        f"{acceptable(confidence, ~right, even, TARGET):.1%} |",
        flush=True,
    )


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="labelled folders")
    parser.add_argument("--model", type=Path, default=RELEASED)
    parser.add_argument("--archive", type=Path, help="EMNIST in NIST's layout")
    parser.add_argument("--split", default="byclass", choices=sorted(emnist.CLASSES))
    options = parser.parse_args()
    reader = Reader(options.model)
    print(f"{options.model}, trained on {reader.description['source']}\n")
    print("| set | boxes | right | classes alike | kind known | accepted | wrong | in hindsight |")
    print("|---|---|---|---|---|---|---|---|")
    if options.archive:
        report("EMNIST test", archive_test(options.archive, options.split), reader)
    for folder in options.folders:
        report(folder.name, hands.read(folder, hands.held_out(reader, folder.name)), reader)


if __name__ == "__main__":
    main()
