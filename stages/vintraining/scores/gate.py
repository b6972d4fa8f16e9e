"""The gate before a release: the new reader against the released one, on what neither learned from.

Each set is compared box by box, and the archive's held-out cards also as whole numbers: what is
read right, and what is accepted although it is wrong, by McNemar's exact test, with Holm's
correction (1979) for many tests. Of a set that has digits alone, or letters, it counts which of
these a character is: its paper tells the kind, which a card's does not.
Over all characters together it must also be shown that the new reader is not worse by more than
`MARGIN` (non-inferiority), not only that no difference was found.
"""

from dataclasses import dataclass

from vintraining.data import dataset
from vintraining.hands import labelled
from vintraining.scores.figures import IS_DIGIT, Read, right_of_kind
from vintraining.scores.transfer import SPLIT

import numpy as np
from scipy.stats import binomtest

from vinreader.image.boxes import Box
from vinreader.reader import Reader
from vinreader.spec import BOXES, CHARACTERS

SIGNIFICANT = 0.05
MARGIN = 0.001  # share of all characters by which the new reader may read worse


@dataclass(frozen=True)
class Outcome:
    """What one reader made of a set, bool (N,): right, accepted; of_kind: right among the digits
    or the letters alone, of a set that has no others, else as `right`."""

    right: np.ndarray
    accepted: np.ndarray
    of_kind: np.ndarray

    @property
    def accepted_wrong(self) -> np.ndarray:
        return np.asarray(self.accepted & ~self.right)

    @property
    def share_wrong(self) -> float:
        """Among the accepted, 0 to 1; 0 where none is accepted."""
        return float(self.accepted_wrong.sum() / max(self.accepted.sum(), 1))


@dataclass(frozen=True)
class Line:
    """A set in the table, and both readers' outcomes."""

    name: str
    unit: str  # what it counts
    new: Outcome
    old: Outcome
    promised: float  # share of wrong ones among the accepted that the new reader promises

    @property
    def reads_worse(self) -> float:
        """Probability of so many lost against gained by chance, 0 to 1."""
        return by_chance(~self.new.of_kind, ~self.old.of_kind)

    @property
    def accepts_worse(self) -> float:
        """The same of those accepted and wrong; 1 where the new reader keeps its promise, or has
        no larger share of them: one that accepts more may have more of them."""
        if self.new.share_wrong <= max(self.old.share_wrong, self.promised):
            return 1.0
        return by_chance(self.new.accepted_wrong, self.old.accepted_wrong)

    def __str__(self) -> str:
        new, old, known = self.new, self.old, ""
        gained, lost = (new.of_kind & ~old.of_kind).sum(), (old.of_kind & ~new.of_kind).sum()
        if (new.of_kind != new.right).any():
            known = f" ({old.of_kind.mean():.2%} -> {new.of_kind.mean():.2%} with the kind known)"
        return (
            f"{self.name:16} {len(new.right):7,} {self.unit}: {old.right.mean():.2%} -> "
            f"{new.right.mean():.2%} right{known}, {gained} gained, {lost} lost; accepted "
            f"{old.accepted.mean():.1%} -> {new.accepted.mean():.1%}, wrong among these "
            f"{old.share_wrong:.2%} -> {new.share_wrong:.2%}"
        )


def objections(table: list[Line]) -> list[str]:
    """What speaks against the release, a sentence each; none where the new reader may be it."""
    tests = [
        (chance, f"{line.name}, {line.unit}: {what} worse beyond chance (p = {chance:.2g})")
        for line in table
        for what, chance in (("reads", line.reads_worse), ("accepts", line.accepts_worse))
    ]
    found = []
    for rank, (chance, sentence) in enumerate(sorted(tests)):
        if chance * (len(tests) - rank) >= SIGNIFICANT:
            break
        found.append(sentence)
    lines = [line for line in table if line.unit == "characters"]
    if lines and (bound := certain_difference(lines)) < -MARGIN:
        found.append(
            f"all characters: it is not shown that no more than {MARGIN:.1%} fewer are read right "
            f"(with 95 % certainty {-bound:.2%} or less)"
        )
    return found


def certain_difference(lines: list[Line]) -> float:
    """How much more is read right by the new reader, at least, with a certainty of 95 %: a share of
    the characters of all sets, negative where it may be less; normal approximation for pairs."""
    difference = np.concatenate(
        [line.new.of_kind.astype(float) - line.old.of_kind for line in lines]
    )
    return float(difference.mean() - 1.645 * difference.std() / np.sqrt(len(difference)))


def by_chance(new_wrong: np.ndarray, old_wrong: np.ndarray) -> float:
    """McNemar's exact test, one-sided: probability that chance alone makes the new one wrong so
    often, or more, where the old one is right, given in how many the two differ."""
    worse, better = int((new_wrong & ~old_wrong).sum()), int((old_wrong & ~new_wrong).sum())
    return float(binomtest(worse, worse + better, alternative="greater").pvalue) if worse else 1.0


def boxes(reader: Reader, test: dataset.Characters) -> Outcome:
    """What a reader makes of single characters."""
    read = Read(reader.probabilities(test.images), test.labels)
    one_kind = len(np.unique(IS_DIGIT[test.labels])) == 1
    of_kind = right_of_kind(*read) if one_kind else read.right
    return Outcome(read.right, read.confidence >= reader.threshold, of_kind)


def cards(reader: Reader, test: dataset.Characters, rows: np.ndarray) -> Outcome:
    """What a reader makes of whole cards; `rows`: int (M, 17), of their boxes."""
    pixels = test.images[rows.ravel()]
    boxes = reader.read_boxes([Box(one, blank=False, message="") for one in pixels])
    read = reader.decode([boxes[at : at + BOXES] for at in range(0, len(boxes), BOXES)])
    vins = ["".join(CHARACTERS[c] for c in card) for card in test.labels[rows]]
    right = np.array([a.vin == vin for a, vin in zip(read, vins, strict=True)], bool)
    return Outcome(right, np.array([a.status == "ok" for a in read], bool), right)


def compare(new: Reader, old: Reader) -> list[Line]:
    """The table of all sets that neither reader learned from. Raises: DataError."""
    promised = new.description["parameters"]["evaluate"]["target_risk"]
    sets = {"EMNIST": dataset.load(SPLIT, "test")} | labelled.load("test")
    table = [
        Line(name, "characters", boxes(new, test), boxes(old, test), promised)
        for name, test in sets.items()
    ]
    if len(rows := labelled.whole_cards("test")):
        news, olds = (cards(reader, sets[labelled.CHECKED], rows) for reader in (new, old))
        table.append(Line(labelled.CHECKED, "cards", news, olds, promised))
    return table
