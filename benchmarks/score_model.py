"""Scores an exported model on real characters, whatever it was trained on.

    python benchmarks/score_model.py models/vin-reader.tflite --archive data/emnist/gzip.zip
    python benchmarks/score_model.py models/vin-reader.tflite --scans folder   # with labels.csv

prints the share read right and the mean over classes; for scans also the share right among the 90 %
most confident.
"""

import argparse
import tempfile
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.data import archive, dataset, emnist
from vintraining.hands import labelled

import numpy as np

from vinreader.image.boxes import normalise_batch
from vinreader.reader import Reader


def archive_test(path: Path, split: str) -> dataset.Characters:
    """The archive's test characters of the 33 classes, as the network sees them."""
    with tempfile.TemporaryDirectory() as folder:
        archive.copy_local(path, split, Path(folder))
        images, labels = (
            emnist.decode_idx(Path(folder, name(split, "test")).read_bytes())
            for name in (emnist.images_member, emnist.labels_member)
        )
        mapping = emnist.parse_mapping(Path(folder, emnist.mapping_member(split)).read_text())
    classes = dataset.classes_of(np.array([mapping[label] for label in labels], np.uint8))
    kept = classes >= 0
    upright = emnist.turned(images[kept])
    return dataset.Characters(normalise_batch(upright), classes[kept].astype(np.uint8))


def scanned(folder: Path, reader: Reader) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities (N, 33) and labels (N,) of the images that labels.csv names; an empty box is
    read as anything."""
    rows = labelled.read_rows(folder)
    readings = [reader.read_file(row.path)[0] for row in rows]
    labels = np.array([row.label for row in rows])
    return np.stack([reading.probabilities for reading in readings]), labels


def report(name: str, probabilities: np.ndarray, labels: np.ndarray) -> None:
    right = probabilities.argmax(axis=1) == labels
    surest = np.argsort(-probabilities.max(axis=1), kind="stable")[: int(0.9 * len(labels))]
    print(
        f"{name}: {len(labels):,} characters, {right.mean():.2%} right, "
        f"{dataset.class_weights(labels) @ right:.2%} mean over classes, "
        f"{right[surest].mean():.2%} right among the 90 % most confident"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--archive", type=Path, help="EMNIST in NIST's layout")
    parser.add_argument("--split", default="byclass", choices=sorted(emnist.CLASSES))
    parser.add_argument("--scans", type=Path, help="folder with labels.csv (file,character)")
    options = parser.parse_args()
    reader = Reader(options.model)
    print(f"{options.model}, trained on {reader.description['source']}")
    if options.archive:
        test = archive_test(options.archive, options.split)
        name = f"EMNIST {options.split} test"
        report(name, reader.probabilities(test.images), test.labels)
    if options.scans:
        report("scans", *scanned(options.scans, reader))


if __name__ == "__main__":
    main()
