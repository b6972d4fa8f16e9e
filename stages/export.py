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

from vintraining import converting
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.model import network, processor
from vintraining.parameters import Export, load
from vintraining.scores import accepting
from vintraining.scores import figures as scores

import numpy as np

from vinreader import provenance
from vinreader.files import sha256, write_bytes, write_json
from vinreader.litert import LiteRT, softmax
from vinreader.spec import CHARACTERS, SIDE, UserError

SPLIT = Path("data/split")
KERAS = Path("models/finetuned.keras")
LITERT = Path("models/vin-reader.tflite")
NUMBERS = Path("models/vin-numbers.json")
CALIBRATION = Path("models/calibration.json")
SOURCE = Path("data/raw/source.json")
# Whose versions can change a weight, a threshold or a byte of the exported model.
LIBRARIES = (
    "tensorflow",
    "keras",
    "numpy",
    "scipy",
    "scikit-learn",
    "opencv-python-headless",
    "ai-edge-litert",
)


def code() -> dict[str, str]:
    """Digests of the code that reads, and of the code that a model follows from."""
    files = [*Path("stages").glob("*.py"), *Path("stages/vintraining").rglob("*.*")]
    found = hashlib.sha256()
    for path in sorted(path for path in files if path.suffix in (".py", ".yaml")):
        found.update(f"{path.as_posix()} {sha256(path)}\n".encode())
    return {"reading": provenance.code_digest(), "training": found.hexdigest()}


def describe(
    model: bytes, calibration: dict[str, Any], test: dict[str, Any], parameters: dict[str, Any]
) -> dict[str, Any]:
    """What vin-reader.json says: the same for the same model, data, parameters and code.

    The folders of `labelled` and `archive` are those that the network learned from or was tested
    with; `missing`: those that params.yaml names and that were not there.
    """
    source, record = dataset.load_json(SOURCE), labelled.load_record()
    origin = {
        "data": source["sha256"],
        "parameters": parameters,
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
        "missing": labelled.missing(parameters["finetune"]["labelled"], record),
        "parameters": parameters,
        "code": origin["code"],
        "arithmetic": processor.kernels(parameters["train"]["arithmetic"]),
        "fingerprint": sha256(json.dumps(origin, sort_keys=True).encode()),
        "versions": {name: version(name) for name in LIBRARIES},
        "sha256": sha256(model),
        "numbers": sha256(NUMBERS),  # of vin-numbers.json beside it
    }


def read(model: bytes, characters: dataset.Characters, temperature: float) -> np.ndarray:
    """Probabilities, float64 (N, 33), of an exported model."""
    return softmax(LiteRT(model).logits(characters.images), temperature)


def compare(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Share of characters read alike, and the largest difference of a probability."""
    return float((a.argmax(axis=1) == b.argmax(axis=1)).mean()), float(np.abs(a - b).max())


def loss(model: bytes, int8: bytes, temperature: float, bins: int) -> dict[str, float]:
    """What int8 weights cost on validation: accuracy (all classes alike) and calibration."""
    validation = dataset.load(SPLIT, "validation")
    shares = dataset.class_weights(validation.labels)
    before, after = (read(m, validation, temperature) for m in (model, int8))
    right = [shares @ (p.argmax(axis=1) == validation.labels) for p in (before, after)]
    ece = [scores.calibration_error(p, validation.labels, shares, bins) for p in (before, after)]
    return {
        "accuracy": round(float(right[0] - right[1]), 5),
        "ece": round(float(ece[1] - ece[0]), 5),
    }


def refuse_another(agreement: float, difference: float, limits: Export) -> None:
    """Stops the stage when the exported model is not the trained network."""
    if agreement < limits.min_agreement or difference > limits.max_difference:
        raise UserError(
            f"the exported model is not the trained one: {agreement:.4%} of the test characters "
            f"read alike (at least {limits.min_agreement:.2%}), largest difference of a "
            f"probability {difference:.4f} (at most {limits.max_difference})"
        )


def figures(
    exported: LiteRT, test: dataset.Characters, calibration: dict[str, Any], bins: int
) -> dict[str, Any]:
    """How the exported model reads the test characters; all classes alike but in `accuracy`."""
    probabilities = softmax(exported.logits(test.images), calibration["temperature"])
    right = probabilities.argmax(axis=1) == test.labels
    shares = dataset.class_weights(test.labels)
    accepted = accepting.at(
        calibration["threshold"], probabilities.max(axis=1), ~right, shares
    ).figures()
    return {
        "accuracy": round(float(right.mean()), 5),
        "balanced_accuracy": round(float(shares @ right), 5),
        "ece": round(scores.calibration_error(probabilities, test.labels, shares, bins), 5),
        "accepted": accepted["accepted"],
        "accepted_error": accepted["accepted_error"],
        "images": len(test),
    }


@stage
def main() -> None:
    parameters = load()
    limits, bins = parameters.export, parameters.evaluate.bins
    keras_network = network.load(KERAS)
    calibration = dataset.load_json(CALIBRATION)
    model = converting.to_litert(keras_network)
    test = dataset.load(SPLIT, "test")
    temperature = calibration["temperature"]
    expected = softmax(network.logits(keras_network, test.images), temperature)
    refuse_another(*compare(expected, read(model, test, temperature)), limits)
    weights, lost = "float32", {}
    if limits.int8:
        int8 = converting.to_litert(keras_network, int8=True)
        lost = loss(model, int8, temperature, bins)
        if max(lost.values()) > limits.max_int8_loss:
            raise UserError(
                f"with 8-bit weights validation loses {lost}, more than export.max_int8_loss: "
                "set export.int8: false"
            )
        model, weights = int8, "int8"
    measured = figures(LiteRT(model), test, calibration, bins)
    agreement, difference = compare(expected, read(model, test, temperature))
    write_bytes(LITERT, model)
    write_json(
        LITERT.with_suffix(".json"),
        describe(model, calibration, measured, parameters.model_dump(mode="json")),
    )
    write_json(
        Path("metrics/export.json"),
        {
            "bytes": len(model),
            "weights": weights,
            "int8_lost": lost,
            "agreement": agreement,
            "max_difference": round(difference, 6),
        }
        | measured,
    )


if __name__ == "__main__":
    main()
