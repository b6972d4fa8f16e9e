"""Not a stage: makes the exported model the released one, which clerks read with.

Refused when the model was not trained on EMNIST, or reads a test set of data/split worse, beyond
chance, than the released model does.
"""

import shutil
from pathlib import Path

from vintraining import dataset, labelled
from vintraining.console import stage

import numpy as np
from scipy.stats import binomtest

from vinreader import numbers
from vinreader.files import replacing
from vinreader.reader import Reader
from vinreader.spec import UserError

EXPORTED = Path("models/vin-reader.tflite")
RELEASED = Path("models/released/vin-reader.tflite")
SPLIT = Path("data/split")
SIGNIFICANT = 0.05


def right(reader: Reader, test: dataset.Characters) -> np.ndarray:
    """Which characters are read right, bool (N,)."""
    return np.asarray(reader.probabilities(test.images).argmax(axis=1) == test.labels)


def compared(name: str, new: np.ndarray, old: np.ndarray) -> tuple[str, bool]:
    """A line of the table, and whether the new reader is worse beyond chance.

    McNemar's exact test on the characters that one of the two reads right and the other does not.
    """
    gained, lost = int((new & ~old).sum()), int((old & ~new).sum())
    chance = binomtest(lost, gained + lost, alternative="greater").pvalue if lost else 1.0
    line = (
        f"{name:16} {len(new):7,} characters: {old.mean():.2%} -> {new.mean():.2%} right, "
        f"{gained} gained, {lost} lost"
    )
    worse = chance < SIGNIFICANT
    return line + (f"; worse beyond chance (p = {chance:.2g})" if worse else ""), worse


@stage
def main() -> None:
    candidate = Reader(EXPORTED)
    source = candidate.description["source"]
    if not source.startswith("emnist"):
        raise UserError(
            f"{EXPORTED} was trained on {source}; only a model trained on EMNIST is released. "
            "Put NIST's archive at data.archive and run dvc repro"
        )
    tests = {"EMNIST": dataset.load(SPLIT, "test")} | labelled.load(SPLIT, "test")
    if RELEASED.exists():
        released = Reader(RELEASED)
        table = [
            compared(name, right(candidate, test), right(released, test))
            for name, test in tests.items()
        ]
        print("\n".join(line for line, _ in table))
        if any(worse for _, worse in table):
            raise UserError(f"not released: {EXPORTED} reads worse than the released reader")
    for name in (numbers.FILE, EXPORTED.name, EXPORTED.with_suffix(".json").name):
        with replacing(RELEASED.with_name(name)) as temporary:
            shutil.copyfile(EXPORTED.with_name(name), temporary)
    print(f"released: {RELEASED}, trained on {source}")


if __name__ == "__main__":
    main()
