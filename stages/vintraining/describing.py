"""vin-reader.json: what a reader must know of an exported model, and what the model came from."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.model import processor
from vintraining.parameters import Parameters

from vinreader import provenance
from vinreader.files import sha256
from vinreader.number import prior
from vinreader.spec import CHARACTERS, SIDE

NUMBERS = Path("models") / prior.FILE
SOURCE = Path("data/raw/source.json")
# Whose versions can change a weight, a threshold or a byte of the exported model.
LIBRARIES = ["tensorflow", "keras", "numpy", "scipy", "scikit-learn"]
LIBRARIES += ["opencv-python-headless", "ai-edge-litert"]


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
