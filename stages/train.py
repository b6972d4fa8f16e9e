"""Stage 4: the network, trained on the characters as it will see them; its learning curves."""

import sys
from pathlib import Path

from vintraining import processor
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.model import network
from vintraining.parameters import load

from vinreader.files import write_json

SPLIT = Path("data/split")
MODEL = Path("models/vin-reader.keras")
METRICS = Path("metrics/training")


@stage
def main() -> None:
    parameters = load()
    train, seed = parameters.train, parameters.seed
    network.be_reproducible(seed, train)
    if train.arithmetic == "portable" and (reason := processor.missing()):
        print(f"train: other machines will not give these weights: {reason}", file=sys.stderr)
    trained, summary = network.fit(
        dataset.load(SPLIT, "train"),
        dataset.load(SPLIT, "validation"),
        train,
        seed,
        METRICS / "history.csv",
        verbose=1 if sys.stdout.isatty() else 2,
    )
    network.save(trained, MODEL)
    write_json(METRICS / "summary.json", summary)
    # No output of the stage: it may differ where the weights do not.
    seen = {"arithmetic": processor.told(train.arithmetic), "processor": processor.features()}
    write_json(METRICS / "processor.json", seen)


if __name__ == "__main__":
    main()
