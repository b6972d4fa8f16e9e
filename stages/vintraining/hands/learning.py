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
    """What each batch has of a source, augmented. rates: float (33,), its class rates."""

    def __init__(self, source: Source, parameters: Parameters, number: int):
        self.size = max(1, round(source.share * parameters.train.batch_size))
        sized = parameters.train.model_copy(update={"batch_size": self.size})
        self.batches = network.TrainingBatches(
            source.characters,
            sized,
            parameters.seed + number,
            parameters.finetune.unaugmented_share,
        )
        self.rates = self.batches.rates
        self.steps = 0

    def next(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (B, SIDE, SIDE, 1) and targets (B, 33)."""
        # Its last batch may be cut short, or to nothing: classes are drawn in whole numbers.
        at = self.steps % max(1, len(self.batches.rows) // self.size)
        if self.steps and not at:
            self.batches.on_epoch_end()
        self.steps += 1
        return self.batches[at]


def finetune(model: keras.Model, sources: list[Source], parameters: Parameters) -> None:
    """Trains all layers further, in place.

    The loss adds the log class rates of all sources together to the logits (logit adjustment, Menon
    et al., arXiv 2007.07314), so that how often a class occurs is not learned.

    What is augmented is drawn softer and larger than what is read; a network that sees, at last,
    characters as they are reads them better (He et al., arXiv 1909.09148).
    """
    how = parameters.finetune
    parts = [_Batches(source, parameters, number) for number, source in enumerate(sources)]
    rates = np.average([part.rates for part in parts], axis=0, weights=[p.size for p in parts])
    log_rates = np.log(np.maximum(rates, 1e-9)).astype(np.float32)
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
            images, targets = coming.result()
            if step + 1 < how.steps:
                coming = drawing.submit(_batch, parts)
            informed.train_on_batch([images, np.tile(log_rates, (len(images), 1))], targets)
    model.set_weights(learning.get_weights())


def _batch(parts: list[_Batches]) -> tuple[np.ndarray, np.ndarray]:
    """The next batch of all sources together; see `_Batches.next`."""
    images, targets = map(np.concatenate, zip(*(part.next() for part in parts), strict=True))
    return images.astype(np.float32), targets
