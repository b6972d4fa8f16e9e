"""Stage 4: the network, trained on the characters as it will see them; its learning curves."""

import sys
from pathlib import Path

from vintraining.console import stage
from vintraining.data import dataset
from vintraining.model import network, processor
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
    print(f"arithmetic: {processor.kernels(train.arithmetic)}", flush=True)
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


if __name__ == "__main__":
    main()
