"""The exported model as a reader of boxes: images in, characters with confidences out.

Needs numpy, OpenCV, Pillow and LiteRT only; TensorFlow is never imported.

>>> from vinreader import Reader
>>> reading = Reader().read_file("input/01.png")[0]
>>> reading.character, reading.confidence, reading.status
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vinreader.alphabet import CHARACTERS
from vinreader.boxes import SIDE, normalise, open_pages
from vinreader.console import ModelError

BATCH = 256  # images in one call of the interpreter

# Beside the package when it is installed, in the project's models/ otherwise.
RELEASED = next(
    (
        folder / "vin-reader.tflite"
        for folder in (
            Path(__file__).parent / "released",
            Path(__file__).parents[2] / "models" / "released",
        )
        if (folder / "vin-reader.tflite").is_file()
    ),
    Path("models/released/vin-reader.tflite"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """One box, read.

    Attributes:
        character: one of the 33 characters; empty when the box is.
        confidence: probability that `character` is right, 0 to 1, calibrated.
        runner_up: the next likely character; runner_up_confidence: its probability.
        status: `ok`, or `review` when a person should look.
        message: why a person should look, empty otherwise or when it is only the confidence.
        probabilities: float64 (33,), in the order of `alphabet.CHARACTERS`, sum 1, for characters
            that are equally likely beforehand.
    """

    character: str
    confidence: float
    runner_up: str
    runner_up_confidence: float
    status: str
    message: str
    probabilities: np.ndarray


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities, float64 (N, 33), of logits (N, 33) divided by `temperature`."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def fingerprint(model: bytes) -> str:
    return hashlib.sha256(model).hexdigest()


class LiteRT:
    """The interpreter of an exported model: normalised characters to logits."""

    def __init__(self, model: bytes, threads: int = 1):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=threads)
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        if self._input["shape"][1:].tolist() != [SIDE, SIDE, 1] or self._output["shape"][
            1:
        ].tolist() != [len(CHARACTERS)]:
            raise ValueError(f"reads {self._input['shape']} into {self._output['shape']}")
        self._batch = 0

    def logits(self, pixels: np.ndarray) -> np.ndarray:
        """Logits, float32 (N, 33), of uint8 (N, 28, 28) normalised characters."""
        pieces = [np.empty((0, len(CHARACTERS)), np.float32)]
        for start in range(0, len(pixels), BATCH):
            batch = pixels[start : start + BATCH, ..., None].astype(np.float32)
            if len(batch) != self._batch:
                self._interpreter.resize_tensor_input(self._input["index"], batch.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(batch)
            self._interpreter.set_tensor(self._input["index"], batch)
            self._interpreter.invoke()
            pieces.append(self._interpreter.get_tensor(self._output["index"]))
        return np.concatenate(pieces)


class Reader:
    """Reads boxes with an exported model (`vin-reader.tflite` and `vin-reader.json` beside it).

    Args:
        model: path of the .tflite file; the released reader when not given.
        threshold: confidence under which a reading is for review, 0 to 1; the model's own,
            chosen on validation characters, when not given.
        threads: processor threads of the interpreter.

    Raises:
        ModelError: a file is missing, damaged, changed after its export, or no VIN reader's.
    """

    def __init__(
        self, model: Path | str | None = None, threshold: float | None = None, threads: int = 1
    ):
        self.path = Path(model) if model is not None else RELEASED
        self.card = self._load_card()
        self.threshold = self.card["review_threshold"] if threshold is None else threshold
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"no model at {self.path} ({error.strerror}); name one with --model, "
                "or make one with dvc repro"
            ) from None
        if fingerprint(content) != self.card["sha256"]:
            raise ModelError(f"{self.path} is not the model that {self.card_path} describes")
        try:
            self._litert = LiteRT(content, threads)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.path} is not a VIN reader's model: {error}") from None

    @property
    def card_path(self) -> Path:
        return self.path.with_suffix(".json")

    def _load_card(self) -> dict:
        try:
            card = json.loads(self.card_path.read_text("utf-8"))
            labels, temperature = card["labels"], card["temperature"]
            texts = [card[key] for key in ("source", "sha256", "fingerprint")]
            vin_thresholds = card["vin_review_threshold"]
            numbers = [
                temperature,
                card["review_threshold"],
                *(vin_thresholds[key] for key in ("check_digit", "no_check_digit")),
                card["test"]["balanced_accuracy"],
            ]
        except OSError as error:
            raise ModelError(
                f"no {self.card_path} beside the model ({error.strerror}); name a model with "
                "--model, or make one with dvc repro"
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ModelError(
                f"{self.card_path} does not describe a VIN reader: {error!r}"
            ) from None
        usable = all(type(n) in (int, float) and 0 <= n < math.inf for n in numbers)
        if labels != CHARACTERS or not usable or temperature == 0:
            raise ModelError(
                f"{self.card_path}: labels, temperature, thresholds or accuracy are not a VIN "
                "reader's"
            )
        if not all(isinstance(text, str) for text in texts):
            raise ModelError(f"{self.card_path}: source, sha256 or fingerprint is not a text")
        return card

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, 33), of normalised characters, uint8 (N, 28, 28)."""
        return softmax(self._litert.logits(pixels), self.card["temperature"])

    def read(self, images: Sequence[np.ndarray]) -> list[Reading]:
        """Readings of box images, in their order.

        Args:
            images: uint8 (height, width) each, grey, any size and polarity.
        """
        boxes = [normalise(image) for image in images]
        if not boxes:
            return []
        probabilities = self.probabilities(np.stack([box.pixels for box in boxes]))
        return [self._reading(b, p) for b, p in zip(boxes, probabilities, strict=True)]

    def read_file(self, path: Path | str) -> list[Reading]:
        """Readings of an image file, one a page.

        Raises:
            UnreadableImage: the file is not a readable image; the text says why.
        """
        return self.read(open_pages(path))

    def _reading(self, box, probabilities: np.ndarray) -> Reading:
        if box.blank:
            even = np.full(len(CHARACTERS), 1 / len(CHARACTERS))
            return Reading("", 0.0, "", 0.0, "review", box.message, even)
        second, first = np.argsort(probabilities, kind="stable")[-2:]
        confidence = float(probabilities[first])
        doubtful = bool(box.message) or confidence < self.threshold
        return Reading(
            CHARACTERS[first],
            confidence,
            CHARACTERS[second],
            float(probabilities[second]),
            "review" if doubtful else "ok",
            box.message,
            probabilities,
        )
