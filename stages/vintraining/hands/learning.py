"""Training the network further, with hands that its training characters lack.

With a small learning rate, and with the characters it was trained on in the rest of each batch
(replay), so that it forgets nothing.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vintraining.console import progress
from vintraining.data.dataset import Characters
from vintraining.model import network
from vintraining.parameters import CheckedCards, Finetune, Parameters, Train

import keras
import numpy as np


@dataclass(frozen=True)
class Source:
    """Characters of one origin; share: the part of each batch that they make up, 0 to 1."""

    characters: Characters
    share: float


def mixture(
    rest: Characters,
    hands: dict[str, Characters],
    checked: Characters | None,
    train: Train,
    how: Finetune,
) -> list[Source]:
    """What is trained on; the shares sum to 1. rest: what the stage `train` trained on, with the
    share that is left; hands: of the labelled folders, by name; checked: of all batches."""
    sources = [Source(them, how.labelled[name].share) for name, them in hands.items()]
    if checked is not None:
        sources.append(Source(checked, checked_share(len(checked), how.checked, train, how.steps)))
    return [*sources, Source(rest, 1 - sum(source.share for source in sources))]


def checked_share(boxes: int, how: CheckedCards, train: Train, steps: int) -> float:
    """The share of checked cards: few boxes are not shown more often than `how.passes` times."""
    return min(how.share, how.passes * boxes / (steps * train.batch_size))


class _Batches:
    """What each batch has of a source, augmented, with smoothed targets. rates: float (33,), the
    class rates that the loss adjusts the logits by."""

    def __init__(self, source: Source, parameters: Parameters, number: int):
        how = parameters.finetune
        self.size = max(1, round(source.share * parameters.train.batch_size))
        sized = parameters.train.model_copy(update={"batch_size": self.size})
        self.batches = network.TrainingBatches(
            source.characters, sized, parameters.seed + number, how.unaugmented_share
        )
        self.rates = self.batches.rates
        self.smoothing = how.label_smoothing
        self.steps = 0

    def next(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images (B, SIDE, SIDE, 1), log rates of the classes (B, 33), targets (B, 33)."""
        # Its last batch may be cut short, or to nothing: classes are drawn in whole numbers.
        at = self.steps % max(1, len(self.batches.rows) // self.size)
        if self.steps and not at:
            self.batches.on_epoch_end()
        images, targets = self.batches[at]
        self.steps += 1
        # Smoothed towards the classes as they occur here: one that does not is not to grow.
        targets = (1 - self.smoothing) * targets + self.smoothing * self.rates
        log_rates = np.log(np.maximum(self.rates, 1e-9)).astype(np.float32)
        return images, np.repeat(log_rates[None], len(images), axis=0), targets


def finetune(model: keras.Model, sources: list[Source], parameters: Parameters) -> None:
    """Trains all layers further, in place.

    The loss adds the log class rates to the logits (logit adjustment, Menon et al., arXiv
    2007.07314), so that how often a class occurs is not learned. With `class_prior` "mixture" these
    are the rates of all sources together: where a source holds digits alone, what is learned from
    it is also that these are no letters. With "source" they are the source's own, and a class that
    it lacks is not taught as absent.

    What is augmented is drawn softer and larger than what is read; a network that sees, at last,
    characters as they are reads them better (He et al., arXiv 1909.09148).
    """
    how = parameters.finetune
    parts = [_Batches(source, parameters, number) for number, source in enumerate(sources)]
    if how.class_prior == "mixture":
        sizes = [part.size for part in parts]
        rates = np.average([part.rates for part in parts], axis=0, weights=sizes)
        for part in parts:
            part.rates = rates
    learning = network.for_training(model)
    shares = keras.Input(model.output_shape[1:])
    logits = keras.layers.Add()([learning.output, shares])
    informed = keras.Model([*learning.inputs, shares], logits)
    informed.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(how.learning_rate, how.steps),
            weight_decay=parameters.train.weight_decay,
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    with ThreadPoolExecutor(1) as drawing:  # the next batch, while the network learns this one
        coming = drawing.submit(_batch, parts)
        for step in progress(range(how.steps), "batches", how.steps):
            images, log_rates, targets = coming.result()
            if step + 1 < how.steps:
                coming = drawing.submit(_batch, parts)
            informed.train_on_batch([images, log_rates], targets)
    model.set_weights(learning.get_weights())


def _batch(parts: list[_Batches]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The next batch of all sources together; see `_Batches.next`."""
    images, log_rates, targets = (
        np.concatenate(pair) for pair in zip(*(part.next() for part in parts), strict=True)
    )
    return images.astype(np.float32), log_rates, targets
