"""What disturbed scans cost, and a picture of a card as the exported model reads it.

    dvc repro && python benchmarks/robustness.py

Test characters of data/characters are put on paper under every disturbance; writes
metrics/robustness.csv, .json and .png, disturbances.png and card.png.
"""

import argparse
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.drawing import disturbances
from vintraining.drawing.cards import draw_cards
from vintraining.parameters import load
from vintraining.scores import charts

import numpy as np

from vinreader.files import write_csv, write_json
from vinreader.image.boxes import normalise
from vinreader.reader import Reader

CHARACTERS = Path("data/characters")
MODEL = Path("models/vin-reader.tflite")
METRICS = Path("metrics")


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--per-class", type=int, default=20, help="test characters of each class")
    options = parser.parse_args()
    seed = load().seed
    test = dataset.load(CHARACTERS, "test")
    rng = np.random.default_rng(seed)
    characters = test[dataset.some_of_each(test.labels, options.per_class, rng)]
    reader = Reader(MODEL)  # says so here, once, when there is no model
    table = disturbances.measure(MODEL, characters, seed)
    figures = disturbances.summary(table, len(characters), reader.description["source"])
    write_csv(METRICS / "robustness.csv", table)
    write_json(METRICS / "robustness.json", figures)
    charts.robustness(METRICS / "robustness.png", table, disturbances.TARGET)
    charts.scans(
        METRICS / "disturbances.png",
        disturbances.examples(seed),
        "Disturbances; *: no longer a decent scan",
    )
    boxes = draw_cards(1, seed)[0].boxes
    card = reader.read_card(boxes)
    charts.card(
        METRICS / "card.png",
        boxes,
        np.stack([normalise(box).pixels for box in boxes]),
        card.vin,
        [box.confidence for box in card.boxes],
        [box.status == "ok" for box in card.boxes],
        f"{card.vin}   {card.confidence:.1%} sure   {card.status}   {card.message}",
    )
    decent = figures["decent"]
    print(
        f"{figures['accuracy']:.2%} of {len(characters):,} characters right; on decent scans at "
        f"most {decent['worst_drop']:.2f} points less ({decent['worst']}), "
        f"{decent['mean_drop']:.2f} on average"
    )


if __name__ == "__main__":
    main()
