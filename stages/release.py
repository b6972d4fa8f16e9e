"""Not a stage: makes the exported model the released one, which clerks read with.

Refused when the model was not trained on EMNIST, or reads the test characters of data/split worse
than the released model does.
"""

import shutil
from pathlib import Path

from vinreader import numbers
from vinreader.files import replacing
from vinreader.reader import Reader
from vinreader.spec import UserError
from vintraining import dataset
from vintraining.console import stage

EXPORTED = Path("models/vin-reader.tflite")
RELEASED = Path("models/released/vin-reader.tflite")


def balanced_accuracy(reader: Reader, test: dataset.Characters) -> float:
    right = reader.probabilities(test.images).argmax(axis=1) == test.labels
    return float(dataset.class_weights(test.labels) @ right)


@stage
def main() -> None:
    candidate = Reader(EXPORTED)
    source = candidate.description["source"]
    if not source.startswith("emnist"):
        raise UserError(
            f"{EXPORTED} was trained on {source}; only a model trained on EMNIST is released. "
            "Put NIST's archive at data.archive and run dvc repro"
        )
    test = dataset.load(Path("data/split"), "test")
    new = balanced_accuracy(candidate, test)
    if RELEASED.exists():
        old = balanced_accuracy(Reader(RELEASED), test)
        if new < old:
            raise UserError(
                f"not released: {EXPORTED} reads {new:.3%} of the test characters (all classes "
                f"alike), the released model {old:.3%}"
            )
    for name in (numbers.FILE, EXPORTED.name, EXPORTED.with_suffix(".json").name):
        with replacing(RELEASED.with_name(name)) as temporary:
            shutil.copyfile(EXPORTED.with_name(name), temporary)
    print(f"released: {RELEASED}, {new:.3%} of the test characters right (all classes alike)")


if __name__ == "__main__":
    main()
