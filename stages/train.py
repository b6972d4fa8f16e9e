"""Stage 4: the network, trained on the characters as it will see them; its learning curves."""

import sys
from pathlib import Path

import numpy as np

from vinreader import dataset, handwriting, network
from vinreader.alphabet import CHARACTERS
from vinreader.boxes import normalise_batch
from vinreader.console import stage
from vinreader.files import write_json
from vinreader.paper import reread
from vinreader.parameters import load

SPLIT = Path("data/split")
MODEL = Path("models/vin-reader.keras")
METRICS = Path("metrics/training")
FIRST_WRITER = 500_000  # none of those whose writing may be the data (data.source: embedded)


def with_embedded(characters: dataset.Characters, share: float, seed: int) -> dataset.Characters:
    """The characters and so many of embedded handwriting, every class alike, that these make up
    `share` of all. They teach forms that EMNIST, written in the United States, lacks."""
    per_class = round(len(characters) * share / (1 - share) / len(CHARACTERS))
    if per_class == 0:
        return characters
    images, labels, _ = handwriting.write(
        per_class, writers=per_class, seed=seed, first_writer=FIRST_WRITER
    )
    return dataset.Characters(
        np.concatenate([characters.images, normalise_batch(images)]),
        np.concatenate([characters.labels, labels]),
    )


def with_paper(characters: dataset.Characters, share: float, seed: int) -> dataset.Characters:
    """The characters, `share` of them as they come back from decent scans in printed boxes. They
    teach what the search for ink and lines does to strokes."""
    count = round(len(characters) * share)
    rows = np.sort(np.random.default_rng(seed).permutation(len(characters))[:count])
    images = characters.images.copy()
    images[rows] = reread(images[rows], seed)
    return dataset.Characters(images, characters.labels)


@stage
def main() -> None:
    parameters = load()
    train, seed = parameters.train, parameters.seed
    characters = with_embedded(dataset.load(SPLIT, "train"), train.embedded_share, seed)
    characters = with_paper(characters, train.paper_share, seed)
    network.be_reproducible(seed, train.threads)
    trained, summary = network.fit(
        characters,
        dataset.load(SPLIT, "validation"),
        train,
        seed,
        METRICS / "history.csv",
        verbose=1 if sys.stdout.isatty() else 2,
    )
    network.save(trained, MODEL)
    write_json(METRICS / "summary.json", summary)


if __name__ == "__main__":
    main()
