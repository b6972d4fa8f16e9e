"""How well whole cards are read, on numbers that the statistics do not know.

Every number is decoded with statistics learned without its source. One threshold for all cards is
chosen on those of validation characters; what it accepts is measured on cards of test characters.
On most cards every box is by another writer; on those of one hand, what a writer of a labelled
folder wrote is by him: the digits at least, for a hand far from those trained on goes wrong in many
boxes at once.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vintraining.console import progress
from vintraining.data.dataset import load_json
from vintraining.hands import labelled
from vintraining.numbers import simulate
from vintraining.numbers import statistics as number_statistics
from vintraining.numbers.statistics import Real
from vintraining.parameters import Numbers, Parameters
from vintraining.scores import accepting, figures
from vintraining.scores.figures import Read
from vintraining.scores.transfer import evidence

import numpy as np

from vinreader.number import decoding
from vinreader.number import prior as numbers
from vinreader.processes import cores
from vinreader.spec import CHARACTERS, DIGITS

NUMBERS = Path("data/numbers")
STATISTICS = Path("models") / numbers.FILE
PARTS = 5  # into which numbers are divided where it is not by source
OWN = ""  # the origin whose characters are each by another writer; the others are labelled folders


@dataclass(frozen=True)
class Cards:
    """Cards that were read, (N,) each."""

    confidence: np.ndarray
    right: np.ndarray  # bool, the whole number
    raw_right: np.ndarray  # the same without the rules
    kind: np.ndarray  # of `decoding.KINDS`
    group: np.ndarray  # of `simulate.GROUPS`
    cluster: np.ndarray  # int: the writer, or where each box is by another, the numbers' source

    def __getitem__(self, rows: np.ndarray) -> "Cards":
        return Cards(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Scores:
    """by_risk: from which confidence cards are accepted, 0 to 1.01, for shares of errors; origins:
    how many cards of each these are from, "" for those of many hands; figures: for
    metrics/vins.json; reliability: of test cards, see `figures.reliability`."""

    by_risk: dict[float, float]
    origins: dict[str, int]
    figures: dict[str, Any]
    reliability: list[dict[str, float]]


@dataclass(frozen=True)
class Written:
    """Characters of validation or test. own: each by another writer. hands: by the name of the
    labelled folder, those of each of its writers (`by_writer`); may be empty."""

    own: Read
    hands: dict[str, list[Read]]

    def boxes(self) -> dict[str, int]:
        """How many characters there are of each origin that cards are made of."""
        hands = {name: pools for name, pools in self.hands.items() if pools}
        return {
            name: sum(len(read.labels) for read in pools)
            for name, pools in ({OWN: [self.own]} | hands).items()
        }


def written(source: str, part: str, read: dict[str, Read]) -> Written:
    """What the cards of a part are written with. Of checked cards all hands are one."""
    hands = {
        name: [characters]
        if name == labelled.CHECKED
        else by_writer(characters, labelled.load_groups(name, part))
        for name, characters in read.items()
        if name != source
    }
    return Written(read[source], hands)


def by_writer(characters: Read, writers: np.ndarray) -> list[Read]:
    """The characters of each writer, int (M,), who wrote all ten digits."""
    probabilities, labels = characters
    digits = [CHARACTERS.index(digit) for digit in DIGITS]
    each = [writers == writer for writer in np.unique(writers)]
    return [Read(probabilities[at], labels[at]) for at in each if np.isin(digits, labels[at]).all()]


def measure(validation: Written, test: Written, parameters: Parameters) -> Scores:
    """The threshold from cards of validation characters, figures of cards of test characters.

    The numbers are those of data/numbers where sources of them can be held out, or else drawn from
    the statistics of the stage before.
    """
    how = parameters.evaluate
    rng = np.random.default_rng(parameters.seed)
    real, chosen = _chosen(parameters, rng)
    held_out = bool(real.vins)
    read = _read_all(validation, chosen, rng)
    weigh = evidence(validation.boxes(), how.prior_cards)
    by_risk = {risk: _threshold(read, weigh, risk) for risk in (how.target_risk, *how.risks)}
    threshold = by_risk[how.target_risk]
    origins = {name: len(cards.right) for name, cards in read.items()}
    tested = _read_all(test, chosen, rng)
    cards = tested.pop(OWN)
    told: dict[str, Any] = {
        "numbers": "real, of sources held out" if held_out else "drawn from the statistics",
        "all": _figures(cards, threshold),
    }
    for name, of in (("group", simulate.GROUPS), ("kind", decoding.KINDS)):
        parts = {one: cards[getattr(cards, name) == one] for one in of}
        told |= {one: _figures(part, threshold) for one, part in parts.items() if len(part.right)}
    if tested:
        told["one hand"] = {name: _figures(part, threshold) for name, part in tested.items()}
    for name, parted in _otherwise_held_out(real, rng).items() if held_out else ():
        times = np.bincount(rng.choice(len(real.vins), how.cards), minlength=len(real.vins))
        part = _read([test.own], list(_numbers(parted, times, parameters.numbers, rng)), rng)
        told[name] = _figures(part, threshold)
    shares = np.full(len(cards.right), 1 / len(cards.right))
    reliability = figures.reliability(cards.confidence, cards.right, shares, how.bins)
    return Scores(by_risk, origins, told, reliability)


def _threshold(read: dict[str, Cards], weigh: dict[str, float], target_risk: float) -> float:
    sources = (
        accepting.Readings(cards.confidence, ~cards.right, evidence=weigh[name])
        for name, cards in read.items()
    )
    return round(accepting.threshold(sources, target_risk), 5)


def _chosen(
    parameters: Parameters, rng: np.random.Generator
) -> tuple[Real, list[tuple[numbers.Prior, list[str]]]]:
    """The real numbers, none where they cannot be held out, and what stands on cards: numbers, and
    the prior that does not know their source."""
    how, real = parameters.evaluate, number_statistics.read(NUMBERS)
    if real.vins:
        with suppress(ValueError):  # too few numbers of other sources to learn from
            times = _evenly(real, how.cards, rng)
            if chosen := list(_numbers(real, times, parameters.numbers, rng)):
                return real, chosen
    prior = numbers.build(load_json(STATISTICS))
    vins = simulate.drawn(prior, how.cards * len(simulate.GROUPS[:-1]), rng)
    return Real((), (), 0), [(prior, vins)]


def _read_all(
    written: Written, chosen: Sequence[tuple[numbers.Prior, list[str]]], rng: np.random.Generator
) -> dict[str, Cards]:
    """Cards of each origin, `OWN` and the labelled folders, of the same numbers."""
    probabilities, labels = written.own
    read = {OWN: _read([written.own], chosen, rng)}
    for name, hands in written.hands.items():
        pools = []
        for own_probabilities, own_labels in hands:
            rest = ~np.isin(labels, own_labels)  # what he did not write is by others
            parts = (own_probabilities, probabilities[rest]), (own_labels, labels[rest])
            pools.append(Read(*map(np.concatenate, parts)))
        if pools:
            read[name] = _read(pools, chosen, rng)
    return read


def _evenly(real: Real, count: int, rng: np.random.Generator) -> np.ndarray:
    """int (N,): how often each number is on a card, so that each group has `count` cards."""
    groups = np.array([simulate.group(vin) for vin in real.vins])
    pools = [np.flatnonzero(groups == group) for group in simulate.GROUPS[:-1]]
    rows = np.concatenate([rng.choice(pool, count) for pool in pools if len(pool)])
    return np.bincount(rows, minlength=len(real.vins))


def _otherwise_held_out(real: Real, rng: np.random.Generator) -> dict[str, Real]:
    """The numbers as if each of `PARTS` was a source: numbers drawn at random, or all of makers."""
    makers, maker_of = np.unique([vin[:3] for vin in real.vins], return_inverse=True)
    parts = {
        "numbers held out at random": rng.integers(PARTS, size=len(real.vins)),
        "makers held out": rng.integers(PARTS, size=len(makers))[maker_of],
    }
    return {
        name: replace(real, sources=tuple(map(str, part.tolist()))) for name, part in parts.items()
    }


def _numbers(
    real: Real, times: np.ndarray, learning: Numbers, rng: np.random.Generator
) -> Iterator[tuple[numbers.Prior, list[str]]]:
    """Numbers, each so many times, int (N,), and the prior that does not know their source."""
    wanted = dict(zip(real.vins, times.tolist(), strict=True))
    for _, taught, held in number_statistics.folds(real, learning.fold):
        vins = [simulate.fresh(vin, rng) for vin in held for _ in range(wanted[vin])]
        if vins:
            yield numbers.build(number_statistics.learn(taught, learning)), vins


def _read(
    pools: Sequence[Read],
    chosen: Sequence[tuple[numbers.Prior, list[str]]],
    rng: np.random.Generator,
) -> Cards:
    """Cards of these numbers, each of the characters of one of the pools."""
    with np.errstate(divide="ignore"):
        logs = [np.log(probabilities) for probabilities, _ in pools]
    jobs = []
    for source, (prior, vins) in enumerate(chosen):
        pool_of = rng.integers(len(pools), size=len(vins))
        for pool, (_, labels) in enumerate(pools):
            some = [vin for vin, at in zip(vins, pool_of, strict=True) if at == pool]
            readings = simulate.written(logs[pool], labels, some, rng)
            for at in range(0, len(some), decoding.BLOCK):
                part = slice(at, at + decoding.BLOCK)
                cluster = pool if len(pools) > 1 else source
                jobs.append((prior, readings[part], some[part], cluster))
    with ThreadPoolExecutor(cores()) as threads:  # NumPy computes outside of Python's lock
        read = threads.map(lambda job: decoding.decode_batch(*job[:2]), jobs)
        read = progress(read, "blocks of cards", len(jobs))
        rows = [
            (d.confidence, d.vin == vin, d.raw == vin, d.evidence, simulate.group(vin), cluster)
            for found, (_, _, some, cluster) in zip(read, jobs, strict=True)
            for d, vin in zip(found, some, strict=True)
        ]
    return Cards(*(np.array(column) for column in zip(*rows, strict=True)))


def _figures(cards: Cards, threshold: float) -> dict[str, Any]:
    accepted = accepting.at(threshold, cards.confidence, ~cards.right, None, cards.cluster)
    found = {
        "raw_exact_match": cards.raw_right,
        "decoded_exact_match": cards.right,
        "right_made_wrong": cards.raw_right & ~cards.right,
        "mean_confidence": cards.confidence,
    }
    means = {name: round(float(of.mean()), 5) for name, of in found.items()}
    return means | accepted.figures()
