"""Stage: the LiteRT model that readers use, checked against the Keras network it came from.

models/vin-reader.tflite and vin-reader.json (labels, input, temperature, thresholds, where it came
from). Fails when the two networks disagree on the test characters, or when validation characters
are read worse with 8-bit weights.
"""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vintraining.console import stage
from vintraining.converting import to_litert
from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.model import network, processor
from vintraining.parameters import Parameters, load
from vintraining.scores.figures import HEADLINE, Read, figures

import numpy as np

from vinreader import provenance
from vinreader.files import sha256, write_bytes, write_json
from vinreader.litert import LiteRT, softmax
from vinreader.number import prior
from vinreader.spec import CHARACTERS, SIDE, UserError

SPLIT = Path("data/split")
KERAS = Path("models/finetuned.keras")
LITERT = Path("models/vin-reader.tflite")
CALIBRATION = Path("models/calibration.json")
METRICS = Path("metrics/export.json")
NUMBERS = Path("models") / prior.FILE
SOURCE = Path("data/raw/source.json")
# Whose versions can change a weight, a threshold or a byte of the exported model.
LIBRARIES = ["tensorflow", "keras", "numpy", "scipy", "scikit-learn"]
LIBRARIES += ["opencv-python-headless", "ai-edge-litert"]


def compared(a: Read, b: Read) -> tuple[float, float]:
    """Share of characters read alike, and the largest difference of a probability."""
    alike = float((a.predicted == b.predicted).mean())
    return alike, float(np.abs(a.probabilities - b.probabilities).max())


def code() -> dict[str, str]:
    """Digests of the code that reads, and of the code that a model follows from."""
    files = [*Path("stages").glob("*.py"), *Path("stages/vintraining").rglob("*.*")]
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.suffix in (".py", ".yaml")):
        found.update(f"{path.as_posix()} {sha256(path)}\n".encode())
    return {"reading": provenance.code_digest(), "training": found.hexdigest()}


def describe(
    model: bytes, calibration: dict[str, Any], test: dict[str, Any], parameters: Parameters
) -> dict[str, Any]:
    """What vin-reader.json says: the same for the same model, data, parameters and code."""
    source, record = dataset.load_json(SOURCE), labelled.load_record()
    origin = {
        "data": source["sha256"],
        "parameters": parameters.model_dump(mode="json"),
        "code": code(),
        "labelled": {name: folder["sha256"] for name, folder in record.items()},
    }
    batches = {name: folder for name, folder in record.items() if labelled.CHECKED in folder}
    return {
        "labels": CHARACTERS,
        "input": f"float32 (N, {SIDE}, {SIDE}, 1), 0 to 255, white ink on black, "
        "as boxes.py makes it",
        "output": f"float32 (N, {len(CHARACTERS)}) logits; divide by temperature, then softmax",
        "temperature": calibration["temperature"],
        "review_threshold": calibration["threshold"],
        "vin_review_threshold": calibration["vin_threshold"],
        "target_risk": calibration["target_risk"],
        "by_risk": calibration["by_risk"],
        "calibrated_on": calibration["computed_on"],
        "source": source["name"],
        "test": test,
        "data": source,
        "labelled": {name: folder for name, folder in record.items() if name not in batches},
        "archive": batches,
        "missing": sorted(parameters.finetune.labelled.keys() - record),
        "parameters": origin["parameters"],
        "code": origin["code"],
        "arithmetic": processor.kernels(parameters.train.arithmetic),
        "fingerprint": sha256(json.dumps(origin, sort_keys=True).encode()),
        "versions": {name: version(name) for name in LIBRARIES},
        "sha256": sha256(model),
        "numbers": sha256(NUMBERS),  # of vin-numbers.json beside it
    }


@stage
def main() -> None:
    parameters = load()
    limits, bins = parameters.export, parameters.evaluate.bins
    trained = network.load(KERAS)
    calibration = dataset.load_json(CALIBRATION)
    temperature, threshold = calibration["temperature"], calibration["threshold"]

    def read(model: bytes, of: dataset.Characters) -> Read:
        return Read(softmax(LiteRT(model).logits(of.images), temperature), of.labels)

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
    made = {
        "bytes": len(model),
        "weights": "int8" if limits.int8 else "float32",
        "int8_lost": lost,
        "agreement": agreement,
        "max_difference": round(difference, 6),
    }
    write_json(METRICS, made | told)


if __name__ == "__main__":
    main()
