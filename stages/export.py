"""Stage 6: the LiteRT model that readers use, checked against the Keras network it came from.

models/vin-reader.tflite and vin-reader.json (labels, input, temperature, review threshold, where
it came from). Fails when the two networks disagree on the test characters.
"""

import json
import platform
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml

from vinreader import dataset, network
from vinreader.alphabet import CHARACTERS
from vinreader.console import UserError, stage
from vinreader.files import replacing, write_json
from vinreader.litert import LiteRT, fingerprint, softmax
from vinreader.parameters import load

KERAS = Path("models/vin-reader.keras")
LITERT = Path("models/vin-reader.tflite")
EVALUATION = Path("metrics/evaluation.json")
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
    """SHA-256 of every file of code that a model follows from: those this stage depends on."""
    stages = yaml.safe_load(Path("dvc.yaml").read_text("utf-8"))["stages"]
    files = [name for name in stages["export"]["deps"] if name.startswith("stages/")]
    return {name: fingerprint(Path(name).read_bytes()) for name in files}


def describe(
    model: bytes, evaluation: dict, source: dict, parameters: dict, code: dict[str, str]
) -> dict:
    """The model's card, vin-reader.json: the same for the same model, data, parameters and code."""
    origin = {"data": source["sha256"], "parameters": parameters, "code": code}
    return {
        "labels": CHARACTERS,
        "input": "float32 (N, 28, 28, 1), 0 to 255, white ink on black, as boxes.py makes it",
        "output": "float32 (N, 33) logits; divide by temperature, then softmax",
        "temperature": evaluation["temperature"],
        "review_threshold": evaluation["review_threshold"],
        "vin_review_threshold": evaluation["vin_review_threshold"],
        "source": evaluation["source"],
        "test": {
            key: evaluation[key]
            for key in (
                "accuracy",
                "balanced_accuracy",
                "ece",
                "accepted",
                "accepted_error",
                "images",
            )
        },
        "data": source,
        "parameters": parameters,
        "code": code,
        "fingerprint": fingerprint(json.dumps(origin, sort_keys=True).encode()),
        "versions": {name: version(name) for name in LIBRARIES}
        | {"python": platform.python_version()},
        "sha256": fingerprint(model),
    }


def latency(reader: LiteRT, pixels: np.ndarray) -> float:
    """Median milliseconds of reading a card's 17 boxes, one thread, of 50 runs."""
    times = []
    for _ in range(50):
        start = time.perf_counter()
        reader.logits(pixels[:17])
        times.append(time.perf_counter() - start)
    return float(np.median(times) * 1000)


@stage
def main() -> None:
    parameters = load()
    keras_network = network.load(KERAS)
    evaluation = json.loads(EVALUATION.read_text("utf-8"))
    source = json.loads(SOURCE.read_text("utf-8"))
    model = network.to_litert(keras_network)

    test = dataset.load(Path("data/split"), "test")
    litert = LiteRT(model)
    expected, exported = (
        softmax(logits, evaluation["temperature"])
        for logits in (network.logits(keras_network, test.images), litert.logits(test.images))
    )
    agreement = float((expected.argmax(axis=1) == exported.argmax(axis=1)).mean())
    difference = float(np.abs(expected - exported).max())
    limits = parameters.export
    if agreement < limits.min_agreement or difference > limits.max_difference:
        raise UserError(
            f"the exported model is not the trained one: {agreement:.4%} of the test characters "
            f"read alike (at least {limits.min_agreement:.2%}), largest difference of a "
            f"probability {difference:.4f} (at most {limits.max_difference})"
        )
    right = exported.argmax(axis=1) == test.labels
    with replacing(LITERT) as temporary:
        temporary.write_bytes(model)
    write_json(
        LITERT.with_suffix(".json"),
        describe(model, evaluation, source, parameters.model_dump(mode="json"), code()),
    )
    write_json(
        Path("metrics/export.json"),
        {
            "bytes": len(model),
            "agreement": agreement,
            "max_difference": round(difference, 6),
            "accuracy": round(float(right.mean()), 5),
            "balanced_accuracy": round(float(dataset.class_weights(test.labels) @ right), 5),
            "latency_ms_17_boxes": round(latency(litert, test.images), 3),
        },
    )


if __name__ == "__main__":
    main()
