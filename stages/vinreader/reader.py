"""The exported model as a reader of boxes and cards: images in, readings with confidences out.

Needs numpy, OpenCV, Pillow, vininfo and LiteRT only; TensorFlow is never imported.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vinreader.files import sha256
from vinreader.image.boxes import Box, normalise_all
from vinreader.image.pages import open_pages
from vinreader.litert import NOTHING, LiteRT, softmax
from vinreader.number import decoding
from vinreader.number import prior as numbers
from vinreader.number import vin as facts
from vinreader.number.known import Known, recognise
from vinreader.spec import BOXES, CHARACTERS, ModelError

_PLACES = (  # beside the package when it is installed, in the project's models/ otherwise
    Path(__file__).parent / "released/vin-reader.tflite",
    Path(__file__).parents[2] / "models/released/vin-reader.tflite",
)
RELEASED = next(filter(Path.is_file, _PLACES), _PLACES[1])


@dataclass(frozen=True, slots=True)
class Reading:
    """One box, read.

    character: one of the 33, empty when the box is. confidence: calibrated probability, 0 to 1,
    that it is right. runner_up: the next likely, and its probability. status: `ok`, or `review`
    when a person should look. message: why, empty when it is only the confidence. probabilities:
    float64 (33,), in the order of `spec.CHARACTERS`, sum 1, all equally likely beforehand.
    """

    character: str
    confidence: float
    runner_up: str
    runner_up_confidence: float
    status: str
    message: str
    probabilities: np.ndarray


@dataclass(frozen=True, slots=True)
class CardReading:
    """One card, read: its 17 boxes, and the number they make under the rules.

    vin: the most probable number, 17 characters; raw: the reading box by box; both have `-` for an
    empty box. confidence: calibrated probability, 0 to 1, that all of `vin` is right; 0 with an
    empty box. status: `ok`, or `review` when a person should look; has_problems: for something else
    than its confidence; message: why, and what the rules changed. check_digit: `ok`, `wrong` or
    `not required`; empty with an empty box. region, manufacturer, model_year: what the number
    tells, else empty. changed: the boxes in which `vin` differs from the plain reading, and by
    which rule. alternatives: of each box the few likeliest characters under the rules, best first,
    with their probabilities; none of an empty box. boxes: the 17 readings.
    """

    vin: str
    raw: str
    confidence: float
    status: str
    has_problems: bool
    message: str
    check_digit: str
    region: str
    manufacturer: str
    model_year: str
    changed: tuple[decoding.Change, ...]
    alternatives: tuple[tuple[tuple[str, float], ...], ...]
    boxes: tuple[Reading, ...]


class Reader:
    """Reads boxes with an exported model (`vin-reader.tflite` and `vin-reader.json` beside it).

    Args:
        model: path of the .tflite file; the released reader when not given.
        threshold: confidence under which a reading is for review, 0 to 1; by default the model's.
        threads: processor threads of the interpreter.
        known: numbers that the archive already has; see `known.py`.
        years: the first and the last model year that the vehicles can be of; see `prior.build`.
        risk: expected share of errors among the accepted, one of `by_risk` in the model's
            description; by default the model's own.

    Attributes:
        vin_thresholds: the confidence from which a card is accepted, by risk.

    Raises:
        ModelError: a file is missing, damaged, changed after its export, or no VIN reader's.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        threshold: float | None = None,
        threads: int = 1,
        known: Known | None = None,
        years: facts.Years | None = None,
        risk: float | None = None,
    ):
        self.path = Path(model) if model is not None else RELEASED
        self.known, self.years, self.risk = known, years, risk
        self.description = self._load_description()
        self.threshold = self.description["review_threshold"]
        self.vin_threshold = self.description["vin_review_threshold"]
        offered = self.description.get("by_risk", {})
        self.vin_thresholds = {name: found["vin_threshold"] for name, found in offered.items()}
        if risk is not None:
            if not (chosen := offered.get(f"{risk:g}")):
                known_risks = ", ".join(offered) or "none but its own"
                raise ModelError(f"{self.path} has no thresholds for {risk:g}, only: {known_risks}")
            self.threshold, self.vin_threshold = chosen["threshold"], chosen["vin_threshold"]
        if threshold is not None:
            self.threshold = threshold
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise ModelError(
                f"no model at {self.path} ({error.strerror}); {self._remedy}"
            ) from None
        if sha256(content) != self.description["sha256"]:
            described = self.path.with_suffix(".json")
            raise ModelError(
                f"{self.path} is not the model that {described} describes; {self._remedy}"
            )
        try:
            self._litert = LiteRT(content, threads)
        except (ValueError, RuntimeError) as error:
            raise ModelError(f"{self.path} is not a VIN reader's model: {error}") from None

    @property
    def settings(self) -> dict[str, Any]:
        """What another process makes the same reader with."""
        how = {name: getattr(self, name) for name in ("threshold", "known", "years", "risk")}
        return {"model": self.path, **how}

    @cached_property
    def prior(self) -> numbers.Prior:
        """What vehicle numbers look like: the statistics beside the model, read for the first card.

        Raises: ModelError where they are missing, damaged, or not those of the model.
        """
        file = self.path.with_name(numbers.FILE)
        try:
            return numbers.load(file, self.description["numbers"], self.years)
        except ModelError as error:
            raise ModelError(f"{error}; {self._remedy}") from None

    @property
    def _remedy(self) -> str:
        """What to do where the model's files are missing or do not belong together."""
        if self.path.parent.name == "released":
            return "put the released reader back with: git checkout models/released"
        return "name one with --model, or make one with dvc repro"

    def _load_description(self) -> dict[str, Any]:
        """The model's .json, in which all that reading and its record use is of its kind."""
        path = self.path.with_suffix(".json")
        try:
            found: dict[str, Any] = json.loads(path.read_text("utf-8"))
            thresholds = [found["review_threshold"], found["vin_review_threshold"]]
            for chosen in found.get("by_risk", {}).values():
                thresholds += chosen["threshold"], chosen["vin_threshold"]
            folders = found.get("labelled", {}).values()
            images = [part["images"] for one in folders for part in one["parts"].values()]
            numbers = [*thresholds, *images, found["test"]["balanced_accuracy"]]
            numbers.append(found["temperature"])
            texts = [found[key] for key in ("labels", "source", "sha256", "fingerprint", "numbers")]
            tables = [found.get(name, {}) for name in ("data", "code", "versions")]
            tables.append(tables[0].get("sha256", {}))
            if not (
                all(type(number) in (int, float) and 0 <= number < math.inf for number in numbers)
                and all(isinstance(text, str) for text in texts)
                and all(isinstance(table, dict) for table in tables)
                and max(thresholds) <= NOTHING
                and found["temperature"] > 0
                and found["labels"] == CHARACTERS
            ):
                raise ValueError("other labels, or a value that is out of range or of another kind")
        except OSError as error:
            raise ModelError(
                f"no {path} beside the model ({error.strerror}); {self._remedy}"
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ModelError(f"{path} does not describe a VIN reader: {error!r}") from None
        return found

    def probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """Probabilities, float64 (N, 33), of normalised characters, uint8 (N, 28, 28)."""
        return softmax(self._litert.logits(pixels), self.description["temperature"])

    def read(self, images: Sequence[np.ndarray]) -> list[Reading]:
        """Readings of box images, in their order: uint8 (height, width), grey, any size and
        polarity.

        Raises: ValueError where one has another type or shape, or no pixels.
        """
        return self.read_boxes(normalise_all(images))

    def read_boxes(self, boxes: Sequence[Box]) -> list[Reading]:
        """Readings of normalised boxes, in their order."""
        if not boxes:
            return []
        probabilities = self.probabilities(np.stack([box.pixels for box in boxes]))
        likeliest = np.argsort(probabilities, axis=1, kind="stable")[:, :-3:-1]
        found = zip(boxes, probabilities, likeliest.tolist(), strict=True)
        return [self._reading(*box) for box in found]

    def read_card(self, images: Sequence[np.ndarray], rules: str = "auto") -> CardReading:
        """The reading of a card's 17 boxes as one vehicle identification number.

        images: 17 in order, as for `read`; `find_boxes` cuts them from that of a whole field.
        rules: `auto`, the rules of the number's world region, or `none`, box by box.

        Raises: ValueError where it is not 17 images, not such images, or other `rules`.
        """
        if len(images) != BOXES:
            raise ValueError(f"a card has {BOXES} boxes, not {len(images)}")
        return self.decode([self.read(images)], rules)[0]

    def decode(self, cards: Sequence[Sequence[Reading]], rules: str = "auto") -> list[CardReading]:
        """The numbers that cards of 17 readings each make; `rules` as for `read_card`."""
        if not cards:
            return []
        probabilities = np.stack([[box.probabilities for box in boxes] for boxes in cards])
        with np.errstate(divide="ignore"):
            logs = np.log(probabilities)
        empty = np.array([[not box.character for box in boxes] for boxes in cards])
        decoded = decoding.decode_batch(self.prior, logs, rules, empty)
        found = [(one, "") for one in decoded]
        if self.known and rules == "auto":
            pairs = zip(decoded, logs, strict=True)
            found = [recognise(self.known, self.prior, one, log) for one, log in pairs]
        return [self._card_reading(boxes, *one) for boxes, one in zip(cards, found, strict=True)]

    def read_file(self, path: Path | str) -> list[Reading]:
        """Readings of an image file, one a page.

        Raises: UnreadableImage; its text says why.
        """
        return self.read(open_pages(Path(path)))

    def _reading(self, box: Box, probabilities: np.ndarray, likeliest: list[int]) -> Reading:
        if box.blank:
            even = np.full(len(CHARACTERS), 1 / len(CHARACTERS))
            return Reading("", 0.0, "", 0.0, "review", box.message, even)
        first, second = likeliest
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

    def _card_reading(
        self, boxes: Sequence[Reading], found: decoding.Decoding, note: str
    ) -> CardReading:
        problems = [f"box {at}: {box.message}" for at, box in enumerate(boxes, 1) if box.message]
        year = facts.model_year(found.vin, self.years)
        if self.years and facts.model_year(found.vin) and not year:
            first, last = self.years
            problems.append(f"box {facts.YEAR_POSITION}: no model year from {first} to {last}")
        sure = found.confidence >= self.vin_threshold and not problems
        return CardReading(
            found.vin,
            found.raw,
            found.confidence,
            "ok" if sure else "review",
            bool(problems),
            "; ".join([*problems, *map(str, found.changed), *([note] if note else [])]),
            facts.check_digit_status(found.vin),
            facts.region(found.vin),
            facts.manufacturer(found.vin),
            year,
            found.changed,
            found.alternatives,
            tuple(boxes),
        )
