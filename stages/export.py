"""Stage 6: the LiteRT model that readers use, checked against the Keras network it came from.

models/vin-reader.tflite and vin-reader.json (labels, input, temperature, review threshold, where
it came from). Fails when the two networks disagree on the test characters; then the weights are
brought to 8 bits, if validation characters are read as well with them.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vintraining import converting
from vintraining.console import stage
from vintraining.data import dataset
from vintraining.hands import adaptation, labelled
from vintraining.model import network, processor
from vintraining.parameters import Export, load
from vintraining.scores import figures as scores

import numpy as np
import yaml

from vinreader.files import sha256, write_bytes, write_json
from vinreader.litert import LiteRT, softmax
from vinreader.spec import CHARACTERS, SIDE, UserError

SPLIT = Path("data/split")
KERAS = Path("models/adapted.keras")
LITERT = Path("models/vin-reader.tflite")
NUMBERS = Path("models/vin-numbers.json")
EVALUATION = Path("metrics/evaluation.json")
SOURCE = Path("data/raw/source.json")
TEST_FIGURES = ("accuracy", "balanced_accuracy", "ece", "accepted", "accepted_error", "images")
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
    """SHA-256 of every file of code that a model follows from: those this stage depends on."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))["stages"]
    files = [name for name in stages["export"]["deps"] if name.startswith("stages/")]
    return {name: sha256(Path(name).read_bytes()) for name in files}


def describe(
    model: bytes,
    numbers: bytes,
    evaluation: dict[str, Any],
    source: dict[str, Any],
    folders: dict[str, Any],
    archive: dict[str, Any],
    parameters: dict[str, Any],
    code: dict[str, str],
) -> dict[str, Any]:
    """What vin-reader.json says: the same for the same model, data, parameters and code."""
    origin = {"data": source["sha256"], "parameters": parameters, "code": code}
    if folders:
        origin["labelled"] = {name: folder["sha256"] for name, folder in folders.items()}
    if archive:
        origin["archive"] = {name: batch["sha256"] for name, batch in archive.items()}
    return {
        "labels": CHARACTERS,
        "input": f"float32 (N, {SIDE}, {SIDE}, 1), 0 to 255, white ink on black, "
        "as boxes.py makes it",
        "output": f"float32 (N, {len(CHARACTERS)}) logits; divide by temperature, then softmax",
        "temperature": evaluation["temperature"],
        "review_threshold": evaluation["review_threshold"],
        "vin_review_threshold": evaluation["vin_review_threshold"],
        "calibrated_on": evaluation["calibrated_on"],
        "source": evaluation["source"],
        "test": {key: evaluation[key] for key in TEST_FIGURES},
        "data": source,
        "labelled": folders,
        "archive": archive,
        "parameters": parameters,
        "code": code,
        "arithmetic": processor.kernels(parameters["train"]["arithmetic"]),
        "fingerprint": sha256(json.dumps(origin, sort_keys=True).encode()),
        "versions": {name: version(name) for name in LIBRARIES}
        | {"python": platform.python_version()},
        "sha256": sha256(model),
        "numbers": sha256(numbers),  # of vin-numbers.json beside it
    }


def latency(reader: LiteRT, pixels: np.ndarray) -> float:
    """Median milliseconds of reading a card's 17 boxes, one thread, of 50 runs."""
    times = []
    for _ in range(50):
        start = time.perf_counter()
        reader.logits(pixels[:17])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


def read(model: bytes, characters: dataset.Characters, temperature: float) -> np.ndarray:
    """Probabilities, float64 (N, 33), of an exported model."""
    return softmax(LiteRT(model).logits(characters.images), temperature)


def compare(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    """Share of characters read alike, and the largest difference of a probability."""
    return float((a.argmax(axis=1) == b.argmax(axis=1)).mean()), float(np.abs(a - b).max())


def loss(model: bytes, int8: bytes, temperature: float, bins: int) -> dict[str, float]:
    """What int8 weights cost on validation characters: accuracy (all classes alike), calibration.

    Temperature and thresholds are the float network's: they hold where these two do.
    """
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
    exported: LiteRT, expected: np.ndarray, test: dataset.Characters, temperature: float, bins: int
) -> dict[str, Any]:
    """How the exported model reads the test characters, and how far that is from the network."""
    probabilities = softmax(exported.logits(test.images), temperature)
    agreement, difference = compare(expected, probabilities)
    right = probabilities.argmax(axis=1) == test.labels
    shares = dataset.class_weights(test.labels)
    return {
        "agreement": agreement,
        "max_difference": round(difference, 6),
        "accuracy": round(float(right.mean()), 5),
        "balanced_accuracy": round(float(shares @ right), 5),
        "ece": round(scores.calibration_error(probabilities, test.labels, shares, bins), 5),
        "latency_ms_17_boxes": round(latency(exported, test.images), 3),
    }


@stage
def main() -> None:
    parameters = load()
    limits, bins = parameters.export, parameters.evaluate.bins
    keras_network = network.load(KERAS)
    evaluation = dataset.load_json(EVALUATION)
    source = dataset.load_json(SOURCE)
    model = converting.to_litert(keras_network)
    test = dataset.load(SPLIT, "test")
    temperature = evaluation["temperature"]
    expected = softmax(network.logits(keras_network, test.images), temperature)
    refuse_another(*compare(expected, read(model, test, temperature)), limits)
    weights, lost = "float32", {}
    if limits.int8:
        int8 = converting.to_litert(keras_network, int8=True)
        lost = loss(model, int8, temperature, bins)
        if max(lost.values()) <= limits.max_loss:
            model, weights = int8, "int8"
        else:
            print(f"exported with float32 weights: with int8 they would lose {lost}")
    measured = figures(LiteRT(model), expected, test, temperature, bins)
    write_bytes(LITERT, model)
    write_json(
        LITERT.with_suffix(".json"),
        describe(
            model,
            NUMBERS.read_bytes(),
            evaluation,
            source,
            labelled.load_record(),
            adaptation.load_record()["batches"],
            parameters.model_dump(mode="json"),
            code(),
        ),
    )
    told = {"bytes": len(model), "weights": weights, "int8_lost": lost}
    write_json(Path("metrics/export.json"), told | measured)


if __name__ == "__main__":
    main()
