"""Training a network further: with hands it lacks, and with an archive's checked boxes.

Always with a small learning rate, and with the characters that the network was trained on in the
rest of each batch (replay), so that it forgets nothing. It is known how often each class occurs, as
in `network.py`: what an archive has many of is not thereby more likely in a box. An archive's boxes
change as much as their number can carry: few move only a bias of each class, more the last layers,
many all layers.
"""

import sys
from typing import Any

from vintraining.data.dataset import Characters
from vintraining.model import network
from vintraining.parameters import Adapt, Parameters, Train

import keras
import numpy as np
from scipy.optimize import minimize
from tqdm import tqdm

LAST = (keras.layers.DepthwiseConv2D, keras.layers.Dense)
FROZEN = keras.layers.BatchNormalization  # half a batch of one archive is no sample of all writing
# Characters, and the share of each batch that they make up. Of a batch it is known which mixture a
# character is of, not which characters of the mixture: where a folder holds digits alone, what is
# learned from it is also that these are no letters.
Mixture = list[tuple[Characters, float]]


def level(boxes: int, how: Adapt) -> str:
    """What is learned from so many boxes: `nothing`, `bias`, `last layers` or `all layers`."""
    if not boxes:
        return "nothing"
    return "bias" if boxes < how.few else "last layers" if boxes < how.many else "all layers"


def finetune(model: keras.Model, shown: Mixture, parameters: Parameters) -> None:
    """Trains all layers further, in place, on these characters, whose shares sum to 1."""
    how = parameters.finetune
    train_on(
        model,
        [shown],
        how.steps,
        how.rate * parameters.train.learning_rate,
        parameters.train,
        parameters.seed,
        how.unaugmented_share,
    )


def learn(
    model: keras.Model, own: Characters, old: Mixture, parameters: Parameters
) -> dict[str, Any]:
    """Changes the network in place, and says how.

    Args:
        own: the archive's boxes, at least one.
        old: characters the network was trained on, and their shares of these, sum 1.

    Returns:
        boxes, level; steps where layers were trained.
    """
    how = parameters.adapt
    chosen = level(len(own), how)
    told: dict[str, Any] = {"boxes": len(own), "level": chosen}
    if chosen == "bias":
        logits = network.logits(model, own.images).astype(np.float64)
        weights, before = model.get_layer("logits").get_weights()
        added = class_bias(logits, own.labels, how.bias)
        model.get_layer("logits").set_weights([weights, (before + added).astype(np.float32)])
        return told
    layers = LAST if chosen == "last layers" else keras.layers.Layer
    for layer in model.layers:
        layer.trainable = isinstance(layer, layers) and not isinstance(layer, FROZEN)
    batches = -(-len(own) // max(1, round(how.share * parameters.train.batch_size)))
    told["steps"] = min(how.passes * batches, how.steps)
    train_on(
        model,
        [[(own, how.share)], [(them, (1 - how.share) * share) for them, share in old]],
        told["steps"],
        how.rate * parameters.train.learning_rate,
        parameters.train,
        parameters.seed,
        parameters.finetune.unaugmented_share,
    )
    for layer in model.layers:
        layer.trainable = True
    return told


def class_bias(logits: np.ndarray, labels: np.ndarray, deviation: float) -> np.ndarray:
    """What to add to the logits of each class, float (33,), for the labels to be likeliest.

    Found together with a temperature, under normal priors: about 0 with `deviation` for the biases,
    about 0 with 1 for the temperature's logarithm.

    Args:
        logits: float (N, 33); labels: int (N,); deviation: in nats at that temperature.
    """
    classes = np.arange(logits.shape[1])
    counts = np.bincount(labels, minlength=len(classes)) + 1
    prior = np.log(counts / counts.sum())
    truth = labels[:, None] == classes

    def loss(at: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = logits / np.exp(at[0])
        sums = scaled + at[1:] + prior
        sums -= np.logaddexp.reduce(sums, axis=1)[:, None]
        far = np.exp(sums) - truth
        slope = np.append(at[0] - (far * scaled).sum(), far.sum(axis=0) + at[1:] / deviation**2)
        value = -sums[truth].sum() + at[0] ** 2 / 2 + (at[1:] ** 2).sum() / deviation**2 / 2
        return float(value), slope

    found = minimize(loss, np.zeros(len(classes) + 1), jac=True, method="L-BFGS-B").x
    return np.asarray(found[1:] * np.exp(found[0]))


class _Origin:
    """What each batch has of some characters: augmented, with smoothed targets.

    rates: float (33,), how often each class occurs in its mixture.
    """

    rates: np.ndarray

    def __init__(
        self,
        characters: Characters,
        share: float,
        train: Train,
        seed: int,
        unaugmented_share: float,
    ):
        self.size = max(1, round(share * train.batch_size))
        sized = train.model_copy(update={"batch_size": self.size})
        self.batches = network.TrainingBatches(characters, sized, seed, unaugmented_share)
        self.smoothing = train.label_smoothing
        self.steps = 0

    def next(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Images (B, 28, 28, 1), log shares of the classes (B, 33), targets (B, 33)."""
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


def train_on(
    model: keras.Model,
    mixtures: list[Mixture],
    steps: int,
    rate: float,
    train: Train,
    seed: int,
    unaugmented_share: float,
) -> None:
    """Trains what is trainable in the network, in place.

    Args:
        mixtures: what the batches of `train.batch_size` consist of; all shares sum to 1.
        rate: learning rate at the first of the steps; it falls to nothing.
        unaugmented_share: of the characters, 0 to 1. What is augmented is drawn softer and larger
            than what is read; a network that sees, at last, characters as
            they are reads them better (He et al., arXiv 1909.09148).
    """
    parts: list[_Origin] = []
    for mixture in mixtures:
        own = [
            _Origin(characters, share, train, seed + len(parts) + number, unaugmented_share)
            for number, (characters, share) in enumerate(mixture)
        ]
        rates = np.average([p.batches.rates for p in own], axis=0, weights=[p.size for p in own])
        for part in own:
            part.rates = rates
        parts += own
    shares = keras.Input(model.output_shape[1:])
    informed = keras.Model([*model.inputs, shares], keras.layers.Add()([model.output, shares]))
    informed.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(rate, steps), weight_decay=train.weight_decay
        ),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True),
    )
    for _ in tqdm(range(steps), desc="batches", disable=not sys.stderr.isatty()):
        images, log_rates, targets = (
            np.concatenate(pair) for pair in zip(*(part.next() for part in parts), strict=True)
        )
        informed.train_on_batch([images.astype(np.float32), log_rates], targets)
