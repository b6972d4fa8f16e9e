"""Stage 2: the 33 characters of a VIN out of EMNIST's classes, upright, each image once."""

from pathlib import Path

from vintraining.console import stage
from vintraining.data import dataset, emnist
from vintraining.parameters import load

import numpy as np
import pandas as pd

from vinreader.files import save_array, write_csv
from vinreader.spec import CHARACTERS

RAW = Path("data/raw")
FOLDER = Path("data/characters")
CODES = np.frombuffer(CHARACTERS.encode(), np.uint8)  # ASCII code of each class


def read_part(split: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Upright images, uint8 (N, 28, 28), and their ASCII codes, uint8 (N,)."""
    if dataset.load_json(RAW / "source.json")["source"] == "embedded":
        written = dataset.load(RAW, part)
        return written.images, CODES[written.labels]
    names = [emnist.images_member(split, part), emnist.labels_member(split, part)]
    images, labels = (emnist.decode_idx((RAW / name).read_bytes(), name) for name in names)
    if images.shape[1:] != (emnist.SIDE, emnist.SIDE) or labels.shape != images.shape[:1]:
        raise emnist.EmnistError(
            f"{names[0]}: shape {images.shape}, labels {labels.shape}; expected (N, 28, 28), (N,)"
        )
    name = emnist.mapping_member(split)
    mapping = emnist.parse_mapping((RAW / name).read_text("ascii", "replace"), name)
    codes = np.zeros(256, np.uint8)
    codes[list(mapping)] = list(mapping.values())
    unknown = set(np.unique(labels).tolist()) - set(mapping)
    if unknown:
        raise emnist.EmnistError(f"{names[1]}: labels {sorted(unknown)} are not in {name}")
    return emnist.turned(images), codes[labels]


@stage
def main() -> None:
    parameters = load()
    split, fold = parameters.data.split, parameters.filter.fold
    counts = {"character": list(CHARACTERS)}
    seen: set[bytes] = set()
    for part in ("test", "train"):  # test first: what is in it cannot be trained on
        images, codes = read_part(split, part)
        # The cards are filled in capitals, so folded lowercase letters teach but never test.
        classes = dataset.classes_of(codes, fold if part == "train" else "")
        kept = classes >= 0
        images, codes, classes = images[kept], codes[kept], classes[kept]
        fresh = dataset.not_seen(images, seen)
        characters = dataset.Characters(
            np.ascontiguousarray(images[fresh]), classes[fresh].astype(np.uint8)
        )
        if missing := [c for c, n in zip(CHARACTERS, characters.counts(), strict=True) if n == 0]:
            raise dataset.DataError(f"{part}: no image of {' '.join(missing)} in '{split}'")
        dataset.save(FOLDER, part, characters)
        counts[part] = characters.counts().tolist()
        if part == "train":
            folded = codes[fresh] != CODES[characters.labels]
            save_array(FOLDER / "train-folded.npy", folded)
            counts["folded"] = characters[folded].counts().tolist()
            if (writers := RAW / "train-writers.npy").exists():
                save_array(FOLDER / writers.name, np.load(writers)[kept][fresh])
        print(f"{part}: {len(characters):,} characters, {len(images) - len(characters)} duplicates")
    write_csv(Path("metrics/characters.csv"), pd.DataFrame(counts))


if __name__ == "__main__":
    main()
