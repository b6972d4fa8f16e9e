"""The Keras network that reads one character, and its training."""

import contextlib
import json
import re
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from vintraining.console import progress
from vintraining.data.dataset import Characters, class_weights
from vintraining.model import processor
from vintraining.model.augmentation import augment, cross_out
from vintraining.model.quiet import quiet_start
from vintraining.parameters import Train

import numpy as np
import pandas as pd

with quiet_start():
    import keras
    import tensorflow as tf
    from keras import layers

from vinreader.files import replacing, write_csv
from vinreader.spec import CHARACTERS, SIDE, ModelError

PLACES = 6  # of the figures that are written


def be_reproducible(seed: int, train: Train) -> None:
    """Same seed and threads, same weights: seeds every generator, orders every sum the same way.

    With `train.arithmetic` "portable" on every x86-64 processor that has AVX2, with "fast" on
    this kind of processor. The number of threads is fixed because sums are split among them; all
    of it must be set before TensorFlow has run anything.
    """
    processor.restrict(train.arithmetic)
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    tf.config.threading.set_intra_op_parallelism_threads(train.threads)
    tf.config.threading.set_inter_op_parallelism_threads(train.threads)


class _FusedBatchNormalization(layers.BatchNormalization):
    """Keras' layer on TensorFlow's fused kernel: trains the whole network 1.5 times as fast.

    For training only: the weights are the stock layer's, and the saved network has that one.
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        if not training:
            return super().call(inputs, training=False)
        normalised, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma,
            offset=self.beta,
            mean=tf.zeros([0]),
            variance=tf.zeros([0]),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * moving + (1 - self.momentum) * batch)
        return normalised


class _WeightedAverage(layers.DepthwiseConv2D):
    """Keras' layer where the kernel is as large as the image: as a sum of products, whose
    gradient takes less time than a convolution's. For training only, as above.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(inputs * self.kernel[..., 0], axis=[1, 2], keepdims=True) + self.bias


def build(
    how: Train,
    normalization: type[layers.Layer] = layers.BatchNormalization,
    average: type[layers.Layer] = layers.DepthwiseConv2D,
) -> keras.Model:
    """The network: convolutions at SIDE, SIDE / 2 and SIDE / 4 pixels a side, a learned average.

    Args:
        how: `widths` and `depths` are the filters of the convolutions at the three sizes and how
            many there are; all but the first of a size are residual (He et al., arXiv 1512.03385).

    Returns:
        keras.Model from float32 (N, SIDE, SIDE, 1), grey levels 0 to 255 (white ink on black), to
        logits, float32 (N, 33), for characters that are equally likely.
    """
    inputs = x = keras.Input((SIDE, SIDE, 1), name="box")
    x = layers.Rescaling(1 / 255)(x)
    for size, (width, depth) in enumerate(zip(how.widths, how.depths, strict=True)):
        if size:
            x = layers.MaxPooling2D()(x)
        for position in range(depth):
            y = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            y = normalization(momentum=how.batch_norm_momentum)(y)
            x = layers.ReLU()(layers.Add()([x, y]) if position else y)
    # Where on the page a stroke lies matters, so each feature map has its own weighted average.
    x = average(x.shape[1], depthwise_initializer="glorot_uniform")(x)
    x = layers.Dropout(how.dropout)(layers.Flatten()(x))
    logits = layers.Dense(len(CHARACTERS), name="logits", dtype="float32")(x)
    return keras.Model(inputs, logits, name="vin_reader")


def for_training(network: keras.Model) -> keras.Model:
    """A copy with the same weights, in the layers that train faster, and whose sums do not depend
    on the processor."""

    def copied(layer: layers.Layer) -> layers.Layer:
        other: dict[type, Any] = {
            layers.BatchNormalization: _FusedBatchNormalization,
            layers.DepthwiseConv2D: _WeightedAverage,
        }
        return other.get(type(layer), type(layer)).from_config(layer.get_config())

    copy = keras.models.clone_model(network, clone_function=copied)
    copy.set_weights(network.get_weights())
    return copy


def sampling_rates(counts: np.ndarray, balance: float) -> np.ndarray:
    """Share of each class in the characters trained on, float (33,), sum 1.

    Args:
        counts: characters of each class, int (33,).
        balance: 0 as they fall, 1 every class alike; in between n ** (1 - balance).
    """
    rates = np.where(counts > 0, counts.astype(np.float64) ** (1 - balance), 0)
    shares: np.ndarray = rates / rates.sum()
    return shares


class TrainingBatches(keras.utils.PyDataset):
    """Augmented batches; what batch b of epoch e holds depends on the seed, e and b alone.

    Args:
        unaugmented_share: share of the characters that are shown as they are.
    """

    def __init__(
        self, characters: Characters, train: Train, seed: int, unaugmented_share: float = 0.0
    ):
        super().__init__(workers=1)
        self.characters, self.train, self.seed, self.epoch = characters, train, seed, 0
        self.unaugmented_share = unaugmented_share
        self.rates = sampling_rates(characters.counts(), train.class_balance)
        self._draw()

    def __len__(self) -> int:
        return -(-len(self.characters) // self.train.batch_size)

    def _draw(self) -> None:
        # A class drawn more often than it has characters starts over with all of them.
        rng = np.random.default_rng([self.seed, self.epoch])
        wanted = np.rint(self.rates * len(self) * self.train.batch_size).astype(int)
        rows = []
        for index, number in enumerate(wanted):
            members = np.flatnonzero(self.characters.labels == index)
            if number:
                rows += [rng.permutation(members) for _ in range(number // len(members))]
                rows.append(rng.permutation(members)[: number % len(members)])
        self.rows = rng.permutation(np.concatenate(rows))

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._draw()

    def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
        size = self.train.batch_size
        chosen = self.characters[self.rows[batch * size : (batch + 1) * size]]
        rng = np.random.default_rng([self.seed, self.epoch, batch])
        images, targets = (
            augment(chosen.images, self.train.augmentation, rng),
            one_hot(chosen.labels),
        )
        if self.unaugmented_share:
            unaugmented = rng.random(len(images)) < self.unaugmented_share
            images[unaugmented] = chosen.images[unaugmented]
        # What was crossed out is no character: every class is to be as likely as without the image
        # (outlier exposure, Hendrycks et al., arXiv 1812.04606).
        for row in np.flatnonzero(rng.random(len(images)) < self.train.crossed_out):
            images[row], targets[row] = cross_out(images[row], rng), self.rates
        return images[..., None], targets


def one_hot(labels: np.ndarray) -> np.ndarray:
    targets: np.ndarray = np.eye(len(CHARACTERS), dtype=np.float32)[labels]
    return targets


@contextlib.contextmanager
def _computing_in(arithmetic: str) -> Iterator[None]:
    """Layers built meanwhile compute in bfloat16 where that is wanted and fast, which is with AMX.

    Weights and sums stay float32 in any case.
    """
    fastest = "mixed_bfloat16" if "amx_bf16" in processor.features() else "float32"
    keras.config.set_dtype_policy(fastest if arithmetic == "fast" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy("float32")


def _loss(rates: np.ndarray, smoothing: float) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Cross-entropy under the class shares trained with, so that the bare logits carry none.

    Balanced softmax (Ren et al., arXiv 2007.10740): logits for characters that are equally likely,
    however unequally the training characters fall.
    """
    log_prior = tf.constant(np.log(np.maximum(rates, 1e-9)), tf.float32)
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    return lambda labels, logits: entropy(labels, logits + log_prior)


def _compiled(train: Train, batches: TrainingBatches) -> keras.Model:
    """The network as it is trained, with its optimizer and loss."""
    with _computing_in(train.arithmetic):
        network = build(train, _FusedBatchNormalization, _WeightedAverage)
    steps = train.epochs * len(batches)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(
                initial_learning_rate=train.warmup_start * train.learning_rate,
                warmup_target=train.learning_rate,
                warmup_steps=max(1, int(train.warmup * steps)),
                decay_steps=max(1, steps - int(train.warmup * steps)),
            ),
            weight_decay=train.weight_decay,
            use_ema=train.ema_share > 0,
            # A mean over the last 1 / (1 - momentum) steps, roughly; short trainings average less.
            ema_momentum=max(0.0, 1 - 1 / max(1.0, train.ema_share * steps)),
        ),
        loss=_loss(batches.rates, train.label_smoothing),
        weighted_metrics=[keras.metrics.CategoricalAccuracy(name="accuracy")],
    )
    return network


def _best_epoch(patience: int) -> keras.callbacks.EarlyStopping:
    # The epoch with the smallest loss is chosen, not the one with the most right: a rare letter has
    # 30 characters in validation, so the mean of recalls goes up and down by chance where the loss
    # already tells the epochs apart.
    return keras.callbacks.EarlyStopping(
        "val_loss", patience=patience, mode="min", restore_best_weights=True
    )


def _weighted(validation: Characters) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, targets and weights: every class weighs the same, however many characters it has."""
    return (
        validation.images[..., None].astype(np.float32),
        one_hot(validation.labels),
        class_weights(validation.labels).astype(np.float32) * len(validation),
    )


def fit(
    train_set: Characters,
    validation: Characters,
    train: Train,
    seed: int,
    history_csv: Path,
    verbose: int | str = "auto",
) -> tuple[keras.Model, dict[str, int | float]]:
    """Trains the network on normalised characters.

    Args:
        train_set: characters to learn from; validation: characters that choose the epoch.
        history_csv: a row an epoch: epoch, accuracy and loss (training, augmented), val_accuracy
            (mean of per-class recall), val_loss.

    Returns:
        The network of the best epoch, and a summary: epochs run, best epoch (from 1), its mean
        per-class recall on validation, parameters.
    """
    batches = TrainingBatches(train_set, train, seed)
    network = _compiled(train, batches)
    best = _best_epoch(train.patience)
    history_csv.parent.mkdir(parents=True, exist_ok=True)
    averaging = train.ema_share > 0
    callbacks = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if averaging else []
    callbacks += [best, keras.callbacks.CSVLogger(str(history_csv))]
    if verbose == 2:  # Keras says nothing in an epoch then
        steps = train.epochs * len(batches)
        counted = progress(range(steps), "batches", steps)
        said = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda *_, **__: next(counted, None)
        )
        callbacks.append(said)
    history = network.fit(
        batches,
        epochs=train.epochs,
        validation_data=_weighted(validation),
        validation_batch_size=512,
        callbacks=callbacks,
        verbose=verbose,
    )
    # The validation loss differs in its last bits between processors, with the same weights.
    write_csv(history_csv, pd.read_csv(history_csv).round(PLACES))
    trained = build(train)
    trained.set_weights(network.get_weights())
    figures = {name: values[best.best_epoch] for name, values in history.history.items()}
    return trained, {
        "epochs": len(history.epoch),
        "best_epoch": best.best_epoch + 1,
        "validation_balanced_accuracy": round(figures["val_accuracy"], PLACES),
        "validation_loss": round(figures["val_loss"], PLACES),
        "parameters": trained.count_params(),
    }


def save(network: keras.Model, path: Path) -> None:
    """Writes the .keras file, whole or not at all, the same bytes for the same weights."""
    with replacing(path) as final, tempfile.TemporaryDirectory() as folder:
        dated = Path(folder, path.name)
        network.save(dated)
        # Keras notes the date in two places and memory addresses in a third; none of them may
        # make two equal trainings differ.
        with zipfile.ZipFile(dated) as source, zipfile.ZipFile(final, "w") as target:
            for name in sorted(source.namelist()):
                data = source.read(name)
                if name == "metadata.json":
                    metadata = json.loads(data)
                    metadata.pop("date_saved", None)
                    data = json.dumps(metadata, sort_keys=True).encode()
                elif name == "config.json":
                    data = _numbered(data.decode()).encode()
                target.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)


def _numbered(config: str) -> str:
    """The configuration with its shared objects numbered instead of called by their addresses."""
    numbers: dict[str, int] = {}
    return re.sub(
        r'(?<="shared_object_id": )\d+',
        lambda found: str(numbers.setdefault(found[0], len(numbers))),
        config,
    )


def load(path: Path) -> keras.Model:
    """The network of a .keras file; no code in it is run (Keras' safe mode).

    Raises:
        ModelError: missing, damaged, or not a network that reads boxes.
    """
    try:
        network = keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises all kinds of errors for damaged files
        raise ModelError(
            f"{path} is not a readable Keras network ({error}); run dvc repro"
        ) from None
    if network.input_shape != (None, SIDE, SIDE, 1) or network.output_shape[-1] != len(CHARACTERS):
        raise ModelError(f"{path}: reads {network.input_shape} into {network.output_shape}")
    return network


def logits(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """Logits, float32 (N, 33), of normalised characters, uint8 (N, SIDE, SIDE)."""
    pieces = [
        network.predict_on_batch(images[i : i + 1024, ..., None].astype(np.float32))
        for i in range(0, len(images), 1024)
    ]
    return np.concatenate(pieces)
