"""Stage: the LiteRT model that readers use, checked against the Keras network it came from.

models/vin-reader.tflite and vin-reader.json (labels, input, temperature, thresholds, where it came
from). Fails when the two networks disagree on the test characters, or when validation characters
are read worse with 8-bit weights.
"""

from pathlib import Path

from vintraining.console import stage
from vintraining.converting import to_litert
from vintraining.data import dataset
from vintraining.describing import describe
from vintraining.model import network
from vintraining.parameters import load
from vintraining.scores.figures import HEADLINE, Read, figures

import numpy as np

from vinreader.files import write_bytes, write_json
from vinreader.litert import LiteRT, softmax
from vinreader.spec import UserError

SPLIT = Path("data/split")
KERAS = Path("models/finetuned.keras")
LITERT = Path("models/vin-reader.tflite")
CALIBRATION = Path("models/calibration.json")
METRICS = Path("metrics/export.json")


def compared(a: Read, b: Read) -> tuple[float, float]:
    """Share of characters read alike, and the largest difference of a probability."""
    alike = float((a.predicted == b.predicted).mean())
    return alike, float(np.abs(a.probabilities - b.probabilities).max())


@stage
def main() -> None:
    parameters = load()
    limits, bins = parameters.export, parameters.evaluate.bins
    trained = network.load(KERAS)
    calibration = dataset.load_json(CALIBRATION)
    temperature, threshold = calibration["temperature"], calibration["threshold"]

    def read(model: bytes, characters: dataset.Characters) -> Read:
        return Read(
            softmax(LiteRT(model).logits(characters.images), temperature), characters.labels
        )

    test = dataset.load(SPLIT, "test")
    expected = Read(softmax(network.logits(trained, test.images), temperature), test.labels)
    model = to_litert(trained)
    agreement, difference = compared(expected, read(model, test))
    if agreement < limits.min_agreement or difference > limits.max_difference:
        raise UserError(
            f"the exported model is not the trained one: {agreement:.4%} of the test characters "
            f"read alike (at least {limits.min_agreement:.2%}), largest difference of a "
            f"probability {difference:.4f} (at most {limits.max_difference})"
        )
    lost = {}
    if limits.int8:
        validation, int8 = dataset.load(SPLIT, "validation"), to_litert(trained, int8=True)
        before, after = (figures(read(m, validation), threshold, bins) for m in (model, int8))
        lost = {
            "accuracy": round(before["balanced_accuracy"] - after["balanced_accuracy"], 5),
            "ece": round(after["ece"] - before["ece"], 5),
        }
        if max(lost.values()) > limits.max_int8_loss:
            raise UserError(
                f"with 8-bit weights validation loses {lost}, more than export.max_int8_loss: "
                "set export.int8: false"
            )
        model = int8
    exported = read(model, test)
    found = figures(exported, threshold, bins)
    told = {name: found[name] for name in HEADLINE} | {"images": len(test)}
    agreement, difference = compared(expected, exported)
    write_bytes(LITERT, model)
    write_json(LITERT.with_suffix(".json"), describe(model, calibration, told, parameters))
    write_json(
        METRICS,
        {
            "bytes": len(model),
            "weights": "int8" if limits.int8 else "float32",
            "int8_lost": lost,
            "agreement": agreement,
            "max_difference": round(difference, 6),
        }
        | told,
    )


if __name__ == "__main__":
    main()
