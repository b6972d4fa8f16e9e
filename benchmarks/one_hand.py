"""Whether 17 boxes by one hand tell more than 17 alone: mixtures over writing styles on cards.

    python benchmarks/one_hand.py --digits folder --numbers numbers.csv --characters data/split

A style says how its writers write each character, and a card is of one style throughout:

    P(boxes, number) = sum over styles k of P(k) * product of P(character) * p(box | character, k)

(Sarkar and Nagy, ICDAR 2001). Two kinds of p are learned by expectation-maximisation over writers:

- forms: a writer of style k writes character c in the form that the reader takes for j with
  probability A[k, c, j], so p(box | c, k) = sum over j of A[k, c, j] * P(j | box);
- Gaussians: the reader's P(c | box) times the ratio of style k's density to that of all styles, to
  a power, of the log probabilities' directions that vary most within a character. One box by
  itself then reads as without styles.

Characters of a number are taken as independent, as often as they stand at each position of the
numbers given: what rules add to that, a decoder adds with or without styles. "The writer's own
forms" are learned of the very characters on the cards, and more than any style can know.
"""

import argparse
import csv
import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import project  # noqa: F401 (finds what is imported below)
from vintraining.data import handwriting

import cv2
import numpy as np

from vinreader.image.boxes import normalise, normalise_batch
from vinreader.reader import RELEASED, Reader
from vinreader.spec import BOXES, CHARACTERS, INDEX

FIRST_WRITER = 900_000  # none of whose characters any reader is trained on
PAGES = 4  # that each embedded writer writes
HELD_BACK = 4  # writers of digits that are kept for tests: not read here
DIRECTIONS = 16
POWER = 0.35  # 1 would take a box's log probabilities for Gaussian and independent of the others'
STRENGTH = 20.0  # characters that a style's prior forms count for
COUNT = len(CHARACTERS)
CLEAR = 0.99 * np.eye(COUNT) + 0.01 / COUNT  # forms before any has been seen


@dataclass(frozen=True)
class Hands:
    """Characters that a reader has read: probabilities (N, 33), labels and writers int (N,)."""

    probabilities: np.ndarray
    labels: np.ndarray
    writers: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Hands":
        return Hands(self.probabilities[rows], self.labels[rows], self.writers[rows])


@dataclass(frozen=True)
class Gaussians:
    """Styles as densities: directions (33, D) and centre (33,) of the log probabilities, means
    (K, 33, D), inverse square roots of the covariances (33, D, D), shares (K,)."""

    directions: np.ndarray
    centre: np.ndarray
    means: np.ndarray
    roots: np.ndarray
    shares: np.ndarray

    def log_density(self, features: np.ndarray, character: int) -> np.ndarray:
        """(K, N), but for a constant."""
        far = (features - self.means[:, None, character]) @ self.roots[character]
        scale = float(np.log(np.diag(self.roots[character])).sum())
        return np.asarray(scale - 0.5 * (far**2).sum(axis=2))

    def ratios(self, boxes: np.ndarray) -> np.ndarray:
        """(K, N, 17, 33): by what a style changes the likelihood of each character."""
        features = (spread(boxes.reshape(-1, COUNT)) - self.centre) @ self.directions
        logs = POWER * np.stack([self.log_density(features, c) for c in range(COUNT)], axis=2)
        logs -= np.logaddexp.reduce(logs + np.log(self.shares)[:, None, None], axis=0)
        return np.exp(logs).reshape(-1, *boxes.shape)


def spread(probabilities: np.ndarray) -> np.ndarray:
    """Centred log probabilities, none under that of 1 in 100,000."""
    logs = np.log(np.maximum(probabilities, 1e-5))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def responsibilities(logs: np.ndarray, writers: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """(W, K) probability of each writer's style, from (K, N) log likelihoods of the characters."""
    sums = np.stack([np.bincount(writers, row) for row in logs], axis=1) + np.log(shares)
    return np.asarray(np.exp(sums - np.logaddexp.reduce(sums, axis=1, keepdims=True)))


def forms(
    hands: Hands, count: int, base: np.ndarray, rounds: int = 12
) -> tuple[np.ndarray, np.ndarray]:
    """`count` styles as forms, (K, 33, 33), and their shares (K,); `base` is their prior."""
    numbers = np.unique(hands.writers, return_inverse=True)[1]
    at = np.random.default_rng(0).dirichlet(np.full(count, 0.3), numbers.max() + 1)
    styles, shares = np.repeat(base[None], count, axis=0), np.full(count, 1 / count)
    for step in range(rounds):
        each = hands.probabilities * styles[:, hands.labels]
        sums = each.sum(axis=2)
        if step:
            at = responsibilities(np.log(sums), numbers, shares)
        shares = (at.sum(axis=0) + 1) / (len(at) + count)
        weighed = each * (at[numbers].T / sums)[:, :, None]
        counted = np.repeat(STRENGTH * base[None], count, axis=0)
        for style in range(count):
            np.add.at(counted[style], hands.labels, weighed[style])
        styles = counted / counted.sum(axis=2, keepdims=True)
    return styles, shares


def gaussians(hands: Hands, count: int, rounds: int = 10) -> Gaussians:
    """`count` styles as Gaussians, covariances shared among them."""
    logs = spread(hands.probabilities)
    of = [np.flatnonzero(hands.labels == c) for c in range(COUNT)]
    within = sum(np.cov(logs[rows].T) * len(rows) for rows in of) / len(logs)
    directions = np.linalg.eigh(within)[1][:, : -DIRECTIONS - 1 : -1]
    features = (logs - logs.mean(axis=0)) @ directions
    pooled = directions.T @ within @ directions
    numbers = np.unique(hands.writers, return_inverse=True)[1]
    at = np.random.default_rng(0).dirichlet(np.full(count, 0.1), numbers.max() + 1)
    for _ in range(rounds):
        means, roots = np.empty((count, COUNT, DIRECTIONS)), np.empty((COUNT, *pooled.shape))
        for c, rows in enumerate(of):
            weights, own = at[numbers[rows]].T, features[rows]
            total = weights.sum(axis=1)[:, None]
            means[:, c] = (weights @ own + 3 * own.mean(axis=0)) / (total + 3)
            far = np.sqrt(weights)[:, :, None] * (own - means[:, None, c])
            shared = np.einsum("kni,knj->ij", far, far) + 50 * pooled
            roots[c] = np.linalg.cholesky(np.linalg.inv(shared / (len(rows) + 50)))
        shares = (at.sum(axis=0) + 0.5) / (len(at) + 0.5 * count)
        found = Gaussians(directions, logs.mean(axis=0), means, roots, shares)
        likely = np.empty((count, len(logs)))
        for c, rows in enumerate(of):
            likely[:, rows] = found.log_density(features[rows], c)
        at = responsibilities(likely, numbers, shares)
    return found


def read_cards(likelihoods: np.ndarray, shares: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """(N, 17, 33) probabilities of the characters, summed over styles, of (K, N, 17, 33)."""
    joint = likelihoods * prior
    each = joint.sum(axis=3)
    logs = np.log(each).sum(axis=2) + np.log(shares)[:, None]
    weights = np.exp(logs - np.logaddexp.reduce(logs, axis=0))
    return np.asarray(np.einsum("kn,knic->nic", weights, joint / each[..., None]))


def draw(hands: Hands, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(N, 17, 33) cards of numbers (N, 17): no character twice on a card while they last."""
    rows = [np.flatnonzero(hands.labels == c) for c in range(COUNT)]
    cards = np.empty((len(numbers), BOXES, COUNT))
    for card, number in zip(cards, numbers, strict=True):
        for c in np.unique(number):
            places = np.flatnonzero(number == c)
            again = len(places) > len(rows[c])
            card[places] = hands.probabilities[rng.choice(rows[c], len(places), replace=again)]
    return cards


def sign_test(won: int, lost: int) -> float:
    """McNemar's exact test: probability of so uneven a split or a more uneven one by chance."""
    n, less = won + lost, min(won, lost)
    return min(1.0, 2 * sum(math.comb(n, i) for i in range(less + 1)) / float(2**n))


def report(name: str, found: dict[str, np.ndarray], numbers: np.ndarray) -> None:
    """Prints whole cards right and cross-entropy a box; and against "one style", card by card."""
    n = len(numbers)
    right = {key: (cards.argmax(axis=2) == numbers).all(axis=1) for key, cards in found.items()}
    print(f"{name}: {n:,} cards")
    for key, cards in found.items():
        true = np.take_along_axis(cards, numbers[:, :, None], axis=2)
        won = int((right[key] & ~right["one style"]).sum())
        lost = int((right["one style"] & ~right[key]).sum())
        margin = 1.96 * math.sqrt(won + lost - (won - lost) ** 2 / n) / n
        print(
            f"  {key:24} {right[key].mean():6.1%} whole, {-np.log(true + 1e-9).mean():.4f} nats a "
            f"box, {won} won and {lost} lost: {(won - lost) / n:+.1%} +- {margin:.1%} "
            f"(95 %), p = {sign_test(won, lost):.2g}",
            flush=True,
        )


def embedded(reader: Reader, writers: int) -> Hands:
    images, labels, numbers = handwriting.write(
        writers * PAGES, writers, first_writer=FIRST_WRITER, progress=False
    )
    return Hands(reader.probabilities(normalise_batch(images)), labels.astype(int), numbers)


def written_digits(reader: Reader, folder: Path) -> Hands:
    """The digits of a folder's labels.csv (file,character,writer), without the held-back ones."""
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = {row["writer"] for row in rows}
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    rows = [row for row in rows if row["writer"] in order[HELD_BACK:]]
    greys = [cv2.imread(str(folder / row["file"]), cv2.IMREAD_GRAYSCALE) for row in rows]
    pixels = np.stack([normalise(grey).pixels for grey in greys])
    return Hands(
        reader.probabilities(pixels),
        np.array([INDEX[row["character"]] for row in rows]),
        np.array([order.index(row["writer"]) for row in rows]),
    )


def of_one_hand(
    cards: np.ndarray, learn: Hands, own: np.ndarray, prior: np.ndarray, dense: Gaussians
) -> dict[str, np.ndarray]:
    """Cards (N, 17, 33) read in every way. `learn`: of whom forms are learned; `own`: (N, 33, 33)
    the forms of each card's own writer."""
    one = np.ones(1)
    pooled = forms(learn, 1, CLEAR)[0]
    four, shares = forms(learn, 4, pooled[0])
    alone = cards @ pooled[0].T
    return {
        "no style": read_cards(cards[None], one, prior),
        "one style": read_cards(alone[None], one, prior),
        "4 styles of forms": read_cards(cards @ four.transpose(0, 2, 1)[:, None], shares, prior),
        "8 styles as Gaussians": read_cards(alone * dense.ratios(cards), dense.shares, prior),
        "the writer's own forms": read_cards((cards @ own.transpose(0, 2, 1))[None], one, prior),
    }


def forms_of(hands: Hands, base: np.ndarray) -> np.ndarray:
    """(33, 33): what one writer's style is as forms."""
    return np.asarray(forms(hands, 1, base, rounds=6)[0][0])


def real_numbers(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Half of the numbers, int (N, 17), and (17, 33) how often each character stands at each
    position of the other half."""
    with path.open(newline="", encoding="utf-8") as file:
        vins = [row["vin"] for row in csv.DictReader(file)]
    numbers = np.array([[INDEX[c] for c in vin] for vin in vins])
    numbers = numbers[np.random.default_rng(0).permutation(len(numbers))]
    half = len(numbers) // 2
    counts = np.stack([np.bincount(column, minlength=COUNT) for column in numbers[:half].T]) + 0.5
    return numbers[half:], counts / counts.sum(axis=1, keepdims=True)


def compare(options: argparse.Namespace) -> None:
    rng = np.random.default_rng(1)
    reader = Reader(options.model)
    numbers, prior = real_numbers(options.numbers)
    images = np.load(options.characters / "validation-images.npy")
    labels = np.load(options.characters / "validation-labels.npy").astype(int)
    many = Hands(reader.probabilities(images), labels, np.zeros(len(labels), int))
    hands = embedded(reader, options.writers)
    learned = hands.writers < FIRST_WRITER + 0.7 * options.writers
    learn, others = hands[learned], hands[~learned]
    dense = gaussians(learn, 8)
    pooled = forms_of(learn, CLEAR)

    cards, own, chosen = [], [], []
    for writer in np.unique(others.writers):
        of = others[others.writers == writer]
        chosen.append(rng.choice(numbers, 10))
        cards.append(draw(of, chosen[-1], rng))
        own += [forms_of(of, pooled)] * 10
    found = of_one_hand(np.concatenate(cards), learn, np.stack(own), prior, dense)
    report("embedded handwriting, unseen writers", found, np.concatenate(chosen))

    chosen = [rng.choice(numbers, 1000)]
    unknown = np.repeat(pooled[None], 1000, axis=0)  # nobody's: the row says nothing here
    found = of_one_hand(draw(many, chosen[0], rng), learn, unknown, prior, dense)
    del found["the writer's own forms"]
    report("validation characters, 17 hands a card", found, chosen[0])

    european, parts, chosen = written_digits(reader, options.digits), [], []
    letters = many[many.labels >= INDEX["A"]]
    for writer in np.unique(european.writers):
        theirs, rest = (european[(european.writers == writer) == mine] for mine in (True, False))
        mixed = Hands(*map(np.concatenate, zip(fields(theirs), fields(letters), strict=True)))
        chosen.append(rng.choice(numbers, 100))
        own_forms = forms_of(theirs, forms_of(rest, CLEAR))
        drawn = draw(mixed, chosen[-1], rng)
        every = np.repeat(own_forms[None], len(drawn), axis=0)
        parts.append(of_one_hand(drawn, rest, every, prior, dense))
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    report("digits of one writer left out, letters of many", joined, np.concatenate(chosen))


def fields(hands: Hands) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return hands.probabilities, hands.labels, hands.writers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--digits", type=Path, required=True, help="labels.csv, images, writers")
    parser.add_argument("--numbers", type=Path, required=True, help="CSV with a column vin")
    parser.add_argument("--characters", type=Path, required=True, help="as the stage split leaves")
    parser.add_argument("--model", type=Path, default=RELEASED)
    parser.add_argument("--writers", type=int, default=420, help="embedded, three in ten for tests")
    options = parser.parse_args()
    compare(options)


if __name__ == "__main__":
    main()
