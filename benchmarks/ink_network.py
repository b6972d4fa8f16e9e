"""A network that tells a character's ink from print and paper, against the rules of `boxes.py`.

    python benchmarks/ink_network.py --swiss data/labelled/swiss-digits --scans data/labelled/scans

draws boxes (`many_papers.py`), trains a small U-Net on them, exports it with 8-bit weights, and
reads the same images with the released reader: as `boxes.normalise` brings them to EMNIST's form,
and in three ways that take the network's mask instead of rules, each against the rules. Gained and
lost are images that only one of the two reads right; p is McNemar's, exact. `--network FILE` keeps
the trained network there, or takes it from there.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import project  # noqa: F401 (finds what is imported below)
from vintraining.data import dataset
from vintraining.drawing import disturbances
from vintraining.drawing.cards import draw_cards
from vintraining.drawing.paper import decent_scan, scan
from vintraining.hands import labelled

import boxed_scans
import cv2
import many_papers
import numpy as np
from scipy.stats import binomtest
from tqdm import tqdm

from vinreader.image import boxes
from vinreader.image.pages import open_pages
from vinreader.processes import in_order
from vinreader.reader import RELEASED, Reader
from vinreader.spec import INDEX

SIDE = 64  # pixels of what the ink network sees
BATCH = 64  # images in one call of the interpreter
SPLIT = Path("data/split")
LEAST, MOST = 13, 77  # of 255 in a mask: between them a pixel is ink in part
Images = list[np.ndarray]


def seen(grey: np.ndarray) -> np.ndarray:
    """A box as the ink network sees it: float32 (64, 64), mean 0, about one standard deviation."""
    small = squared(grey).astype(np.float32)
    mean, deviation = cv2.meanStdDev(small)
    return (small - np.float32(mean[0, 0])) / np.float32(deviation[0, 0] + 6)


def squared(image: np.ndarray) -> np.ndarray:
    how = cv2.INTER_AREA if max(image.shape) > SIDE else cv2.INTER_LINEAR
    return cv2.resize(image, (SIDE, SIDE), interpolation=how)


class _Source:
    """Characters that a process draws boxes of."""

    characters: dataset.Characters


def _start(part: str) -> None:
    cv2.setNumThreads(1)
    _Source.characters = dataset.load(SPLIT, part)


def _draw(task: tuple[int, int]) -> list[tuple[np.ndarray, np.ndarray, int]]:
    seed, number = task
    rng = np.random.default_rng((seed, number))
    source = _Source.characters
    return [many_papers.draw(source.images, source.labels, rng) for _ in range(100)]


def drawn(part: str, count: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
    """Boxes, their ink and classes, of the characters of a part of data/split."""
    tasks = [(seed, number) for number in range(count // 100)]
    bar = tqdm(in_order(_draw, tasks, 2, _start, (part,)), total=len(tasks), desc=f"draw {part}")
    for batch in bar:
        yield from batch


def pairs(part: str, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What the network sees, float16, and what it is to say, uint8 0 to 255; (N, 64, 64) both."""
    inputs = np.empty((count, SIDE, SIDE), np.float16)
    masks = np.empty((count, SIDE, SIDE), np.uint8)
    for at, (grey, ink, _) in enumerate(drawn(part, count, seed)):
        inputs[at], masks[at] = seen(grey), squared(ink)
    return inputs, masks


def build(normalization: Any, widths: tuple[int, ...] = (16, 24, 40, 56)) -> Any:
    """A U-Net (Ronneberger et al., arXiv 1505.04597) from 32x32 to 4x4 pixels and back; its sums
    instead of joined features, and four logits a pixel at the end, keep it small."""
    import keras
    from keras import layers

    def block(x, width: int, size: int = 3, stride: int = 1):
        x = layers.Conv2D(width, size, stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(normalization(momentum=0.95)(x))

    inputs = x = keras.Input((SIDE, SIDE, 1))
    skips = []
    for level, width in enumerate(widths):
        x = block(x, width, 3 if level else 4, 2)
        x = layers.Add()([x, block(x, width)])
        skips.append(x)
    for width, skip in zip(widths[-2::-1], skips[-2::-1], strict=True):
        x = layers.UpSampling2D()(layers.Conv2D(width, 1)(x))
        x = layers.Add()([x, skip])
        x = layers.Add()([x, block(x, width)])
    logits = layers.Conv2D(4, 3, padding="same")(x)
    return keras.Model(inputs, logits, name="ink")


def train(inputs: np.ndarray, masks: np.ndarray, epochs: int, seed: int, threads: int) -> Any:
    from vintraining.model.network import _FusedBatchNormalization

    import keras
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    keras.utils.set_random_seed(seed)
    # Faster than Keras' own, with the same weights.
    network = build(_FusedBatchNormalization)
    steps = epochs * (len(inputs) // 64)
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=4e-3, warmup_steps=steps // 20
    )
    network.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01),
        lambda truth, logits: keras.losses.binary_crossentropy(truth, logits, from_logits=True),
    )

    class Batches(keras.utils.PyDataset):
        def __len__(self) -> int:
            return len(inputs) // 64

        def __getitem__(self, batch: int) -> tuple[np.ndarray, np.ndarray]:
            rows = np.sort(order[64 * batch : 64 * batch + 64])
            x, y = inputs[rows].astype(np.float32), masks[rows]
            for axis in (1, 2):  # print and strokes are what they are from either side
                if rng.random() < 0.25:
                    x, y = np.flip(x, axis), np.flip(y, axis)
            return x[..., None], quartered(y) / np.float32(255)

        def on_epoch_end(self) -> None:
            rng.shuffle(order)

    rng, order = np.random.default_rng(seed), np.arange(len(inputs))
    network.fit(Batches(), epochs=epochs, verbose=2)
    kept = build(keras.layers.BatchNormalization)
    kept.set_weights(network.get_weights())
    return kept


def quartered(masks: np.ndarray) -> np.ndarray:
    """(N, 64, 64) as (N, 32, 32, 4), as the network answers: each pixel's four quarters."""
    half = SIDE // 2
    blocks = masks.reshape(-1, half, 2, half, 2).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(-1, half, half, 4)


def whole(quarters: np.ndarray) -> np.ndarray:
    """The inverse of `quartered`."""
    half = SIDE // 2
    blocks = quarters.reshape(-1, half, half, 2, 2).transpose(0, 1, 3, 2, 4)
    return blocks.reshape(-1, SIDE, SIDE)


class InkNetwork:
    """The exported network: boxes to masks."""

    def __init__(self, model: bytes):
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_content=model, num_threads=1)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]
        self._batch = 0

    def masks(self, images: Images) -> np.ndarray:
        """Share of ink, uint8 (N, 64, 64) from 0 to 255, of each box."""
        pieces = []
        for first in range(0, len(images), BATCH):
            batch = np.stack([seen(image) for image in images[first : first + BATCH]])[..., None]
            if len(batch) != self._batch:
                self._interpreter.resize_tensor_input(self._input, batch.shape)
                self._interpreter.allocate_tensors()
                self._batch = len(batch)
            self._interpreter.set_tensor(self._input, batch)
            self._interpreter.invoke()
            pieces.append(whole(self._interpreter.get_tensor(self._output)))
        return np.rint(255 / (1 + np.exp(-np.concatenate(pieces)))).astype(np.uint8)


def of_mask(grey: np.ndarray, mask: np.ndarray) -> boxes.Box:
    """The mask alone as the character's ink: no polarity, no grey level has to be found."""
    return boxes._fit(_at_work(mask, boxes.reduced(grey))[None])[0]


def of_levels(grey: np.ndarray, mask: np.ndarray) -> boxes.Box:
    """The grey levels of `boxes.normalise` where the mask has ink, and its polarity."""
    work = boxes.reduced(grey)
    mask = _at_work(mask, work)
    even = boxes._lit_evenly(work[None])[0]
    ink = even if _is_light(even, mask) else cv2.bitwise_not(even)
    raw = cv2.subtract(ink, boxes._paper(ink[None])[0])
    kept = (mask.astype(np.float32) - LEAST) / (MOST - LEAST)
    paper = np.minimum(raw, boxes._levels(raw[None])[0].item())
    raw = np.rint(paper + kept.clip(0, 1) * (raw.astype(np.float32) - paper)).astype(np.uint8)
    return boxes._fit(boxes._even_pressure(boxes._stretch(raw[None])))[0]


def where_lines(grey: np.ndarray, mask: np.ndarray) -> boxes.Box:
    """The mask where the rules find a printed line, else the rules."""
    ink = boxes._stretch(boxes._find_ink(boxes.reduced(grey)[None]))[0]
    if boxes._find_lines(ink, boxes._trace(ink)):
        return of_mask(grey, mask)
    return boxes.normalise(grey)


def _at_work(mask: np.ndarray, work: np.ndarray) -> np.ndarray:
    """A mask in the size that `boxes` works at, uint8 0 to 255."""
    return cv2.resize(mask, work.shape[::-1], interpolation=cv2.INTER_LINEAR)


def _is_light(even: np.ndarray, mask: np.ndarray) -> bool:
    """Whether the ink is lighter than what lies around it."""
    ink = (mask > max(64, mask.max() // 2)).view(np.uint8)
    reach = max(3, max(even.shape) // 12) | 1
    around = cv2.dilate(ink, np.ones((reach, reach), np.uint8)) & (mask < 32).view(np.uint8)
    if not ink.any() or not around.any():
        return bool(boxes._are_light_on_dark(even[None])[0])
    return cv2.mean(even, ink)[0] > cv2.mean(even, around)[0]


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], boxes.Box]] = {
    "mask": of_mask,
    "mask over grey levels": of_levels,
    "mask where rules find lines": where_lines,
}


def sets(options: argparse.Namespace) -> Iterator[tuple[str, Images, np.ndarray]]:
    """Name, boxes and labels of each set that is read."""
    test = dataset.load(Path("data/characters"), "test")
    yield "EMNIST test", list(test.images), test.labels
    rows = [r for r in labelled.read_rows(options.swiss) if _tested(r, options.swiss)]
    yield "Swiss digits", *_opened(rows)
    scans, labels = _opened(labelled.read_rows(options.scans))
    yield "photographed", scans, labels
    yield "drawn cards", *_cards(options.cards, options.seed)
    for touching in (False, True):
        images = []
        for thickness in range(1, 5):
            rng = np.random.default_rng([options.seed, thickness])
            images += [boxed_scans.boxed(scan, rng, thickness, touching) for scan in scans]
        name = "photographed, lines " + ("touching" if touching else "apart")
        yield name, images, np.tile(labels, 4)
    for kind in ("dashes", "ticks", "comb"):
        rng = np.random.default_rng(options.seed)
        images = [boxed_scans.little_printed(scan, rng, kind) for scan in scans]
        yield f"photographed, {kind}", images, labels
    for share in (0.04, 0.08):
        rng = np.random.default_rng(options.seed)
        images = [boxed_scans.beyond(scan, rng, share) for scan in scans]
        yield f"photographed, crossing by {share:.0%}", images, labels
    rng = np.random.default_rng(options.seed)
    some = dataset.some_of_each(test.labels, options.per_class, rng)
    yield from _disturbed(test[some], options.seed)


def _tested(row: labelled.Row, folder: Path) -> bool:
    names = labelled.load_record()[folder.name]["parts"]["test"]["names"]
    return row.owners[0][1] in names


def _opened(rows: list[labelled.Row]) -> tuple[Images, np.ndarray]:
    return [open_pages(row.path)[0] for row in rows], np.array([row.label for row in rows])


def _cards(count: int, seed: int) -> tuple[Images, np.ndarray]:
    """Boxes of drawn cards that nothing is wrong with."""
    images, labels = [], []
    for card in draw_cards(count, seed):
        for number, (box, character) in enumerate(zip(card.boxes, card.vin, strict=True), 1):
            if not card.flaw.startswith(f"box {number} "):
                images.append(box)
                labels.append(INDEX[character])
    return images, np.array(labels)


def _disturbed(
    characters: dataset.Characters, seed: int
) -> Iterator[tuple[str, Images, np.ndarray]]:
    """The cases of `robustness.py`, all strengths of a disturbance in one."""
    cases = disturbances.all_cases()
    for name in dict.fromkeys(case.disturbance for case in cases):
        images = []
        own = [case for case in cases if case.disturbance == name and name != disturbances.PLAIN]
        for case in own:
            for row, image in enumerate(characters.images):
                rng = np.random.default_rng((seed, row))
                how = case.how or decent_scan(rng)
                images.append(scan(image, how, rng, characters.images))
        if own:
            yield f"EMNIST: {name}", images, np.tile(characters.labels, len(own))


def read(reader: Reader, found: list[boxes.Box]) -> np.ndarray:
    """Classes, int (N,), -1 where nothing was found."""
    read = reader.probabilities(np.stack([box.pixels for box in found])).argmax(axis=1)
    return np.where([box.blank for box in found], -1, read)


def row(
    name: str, images: Images, labels: np.ndarray, masks: Sequence[np.ndarray], reader: Reader
) -> str:
    """A line of the table: the share read right by the rules and by each way, and against them."""
    rules = read(reader, boxes.normalise_all(images)) == labels
    cells = [name, f"{len(labels):,}", f"{rules.mean():.2%}"]
    for way in WAYS.values():
        pairs = zip(images, masks, strict=True)
        right = read(reader, [way(image, mask) for image, mask in pairs]) == labels
        gained, lost = int((right & ~rules).sum()), int((rules & ~right).sum())
        p = binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
        cells += [f"{right.mean():.2%}", str(gained), str(lost), f"{p:.2g}"]
    return f"| {' | '.join(cells)} |"


def empty(options: argparse.Namespace, ink: InkNetwork) -> None:
    """Boxes in which nothing was written."""
    images = []
    for number in range(500):
        rng = np.random.default_rng((options.seed, number))
        images.append(scan(np.zeros((28, 28), np.uint8), decent_scan(rng), rng))
    blank = [boxes.normalise(image).blank for image in images]
    also = [of_mask(*pair).blank for pair in zip(images, ink.masks(images), strict=True)]
    print(f"empty boxes found empty: rules {np.mean(blank):.1%}, network {np.mean(also):.1%}")


def speed(options: argparse.Namespace, ink: InkNetwork) -> None:
    """Processor time of a box of a drawn card, one thread."""
    cv2.setNumThreads(1)
    images, _ = _cards(20, options.seed)
    ink.masks(images)
    masks = ink.masks(images)
    ways = {
        "rules": lambda: boxes.normalise_all(images),
        "masks": lambda: ink.masks(images),
        "fitting": lambda: [of_mask(*pair) for pair in zip(images, masks, strict=True)],
    }
    for name, run in ways.items():
        times = []
        for _ in range(5):
            start = time.process_time()
            run()
            times.append(time.process_time() - start)
        print(f"{name}: {1000 * min(times) / len(images):.3f} ms a box")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--swiss", type=Path, default=Path("data/labelled/swiss-digits"))
    parser.add_argument("--scans", type=Path, default=Path("data/labelled/scans"))
    parser.add_argument("--network", type=Path, help="LiteRT file of a trained one, or for it")
    parser.add_argument("--boxes", type=int, default=64_000, help="drawn for training")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--drawn", type=int, default=4000, help="drawn for testing")
    parser.add_argument("--bound", action="store_true", help="only what a perfect mask would win")
    parser.add_argument("--per-class", type=int, default=10, help="disturbed characters")
    parser.add_argument("--most", type=int, help="boxes of a set that are read (default: all)")
    parser.add_argument("--cards", type=int, default=200)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1981)
    options = parser.parse_args()
    reader = Reader(RELEASED)
    columns = " | ".join(f"{way} | gained | lost | p" for way in WAYS)
    print(f"| set | boxes | rules | {columns} |")
    told = [box for box in drawn("validation", options.drawn, options.seed + 1) if box[2] >= 0]
    own, labels = [grey for grey, _, _ in told], np.array([label for _, _, label in told])
    print(row("drawn, ink as drawn", own, labels, [squared(ink) for _, ink, _ in told], reader))
    if options.bound:
        return
    ink = InkNetwork(_trained(options))
    print(row("drawn", own, labels, ink.masks(own), reader), flush=True)
    for name, images, labels in sets(options):
        chosen = np.random.default_rng(options.seed).permutation(len(images))[: options.most]
        images = [images[at] for at in chosen]
        print(row(name, images, labels[chosen], ink.masks(images), reader), flush=True)
    empty(options, ink)
    speed(options, ink)


def _trained(options: argparse.Namespace) -> bytes:
    if options.network and options.network.exists():
        return options.network.read_bytes()
    from vintraining.model.network import to_litert

    inputs, masks = pairs("train", options.boxes, options.seed)
    network = train(inputs, masks, options.epochs, options.seed, options.threads)
    print(f"{network.count_params():,} weights")
    model = to_litert(network, int8=True)
    if options.network:
        options.network.write_bytes(model)
    return model


if __name__ == "__main__":
    main()
