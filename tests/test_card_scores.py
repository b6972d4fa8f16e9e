"""Cards of one hand: who wrote them, and that they can only raise a threshold."""

from dataclasses import replace
from pathlib import Path

from vintraining.numbers import statistics as number_statistics
from vintraining.parameters import load
from vintraining.scores import accepting
from vintraining.scores import cards as card_scores

import numpy as np
import pytest

from vinreader.number import decoding
from vinreader.spec import CHARACTERS, INDEX

EVALUATE = load(Path(__file__).parents[1] / "params.yaml").evaluate


def test_writers_without_all_digits_are_no_hands():
    labels = np.r_[np.arange(10), np.arange(9), np.arange(33)]
    writers = np.repeat([4, 7, 9], [10, 9, 33])
    probabilities = np.eye(33)[labels]
    hands = card_scores.by_writer((probabilities, labels), writers)
    assert [len(found) for _, found in hands] == [10, 33]


@pytest.mark.parametrize("vin", ["WVWZZZ1JZ3W386752", "1M8GDM9AXKP042788"])
def test_a_card_of_one_hand_has_the_digits_of_one_writer_and_other_letters(monkeypatch, vin):
    """Each writer's digits are marked by the confidence they are read with."""
    seen = []
    monkeypatch.setattr(
        decoding, "decode_batch", lambda _, logs: seen.append(logs) or [decoded] * len(logs)
    )
    decoded = decoding.Decoding(vin, vin, 0.9, "none", (), ())
    digits = np.arange(10)
    others = np.eye(33) * 0.5 + 0.01, np.arange(33)
    hands = [(np.eye(33)[:10] * sure + 0.01, digits) for sure in (0.6, 0.7)]
    written = card_scores.Written(others, {"hands": hands})
    read = card_scores._read_all(written, [(None, [vin] * 40)], np.random.default_rng(0))
    assert set(read) == {card_scores.OWN, "hands"} and len(read["hands"].right) == 40
    sure = [np.exp(logs).max(axis=2).round(3) - 0.01 for logs in seen]
    assert (abs(sure[0] - 0.5) < 1e-6).all()
    is_digit = np.array([c in CHARACTERS[:10] for c in vin])
    by_writer = sorted(sure[1:], key=lambda cards: cards[0, is_digit][0])  # read side by side
    for writer, cards in zip((0.6, 0.7), by_writer, strict=True):
        assert len(cards) > 5
        assert (abs(cards[:, is_digit] - writer) < 1e-6).all()
        assert (abs(cards[:, ~is_digit] - 0.5) < 1e-6).all()
    assert [CHARACTERS[c] for c in seen[1][0].argmax(axis=1)] == list(vin)
    assert INDEX[vin[0]] == seen[1][0][0].argmax()


def cards(count, wrong_from):
    """Calibrated above a confidence, always wrong below."""
    confidence = np.linspace(1, 0, count)
    right = confidence >= wrong_from
    return card_scores.Cards(
        confidence, right, right, np.full(count, "none"), np.full(count, "europe")
    )


def thresholds(read: dict[str, card_scores.Cards]) -> dict[str, float]:
    found, origins = card_scores._thresholds(read, EVALUATE)
    assert origins == sorted(read)
    return found


def test_a_worse_hand_raises_the_threshold_and_a_better_one_does_not_lower_it():
    alone = thresholds({card_scores.OWN: cards(20_000, 0.5)})
    worse = {card_scores.OWN: cards(20_000, 0.5), "hands": cards(20_000, 0.8)}
    better = {card_scores.OWN: cards(20_000, 0.5), "hands": cards(20_000, 0.2)}
    assert alone["none"] == pytest.approx(0.5, abs=0.01)
    assert thresholds(worse)["none"] == pytest.approx(0.8, abs=0.01)
    assert thresholds(better) == alone
    assert alone["check digit"] == accepting.NOTHING  # no such card: nothing is known of them


def of_kinds(rng, **counts):
    """Cards whose confidence is right, of each kind so many."""
    kind = np.repeat(list(counts), list(counts.values()))
    confidence = 1 - rng.exponential(0.02, len(kind)).clip(0, 1)
    right = rng.random(len(kind)) < confidence
    return card_scores.Cards(confidence, right, right, kind, np.full(len(kind), "europe"))


def test_kinds_keep_the_stated_error_together_with_the_stated_certainty():
    rng = np.random.default_rng(0)
    own = of_kinds(rng, **{"check digit": 8000, "known maker": 3000, "none": 3000})
    found = thresholds({card_scores.OWN: own})
    accepted = own.confidence >= np.array([found[kind] for kind in own.kind])
    wrong = (accepted & ~own.right).sum()
    bound = accepting.upper_bound(wrong, accepted.sum(), EVALUATE.certainty)
    assert bound <= EVALUATE.accepted_error and accepted.mean() > 0.2


def test_few_cards_of_a_kind_do_not_keep_it_from_being_accepted():
    """300 cards without an error tell with even odds, not with nine to one, that 0.5 % are wrong
    at most."""
    count, few = 20_000, 300
    own = replace(cards(count, 0.5), kind=np.full(count, "check digit"))
    own.kind[np.linspace(0, count // 2, few).astype(int)] = "known maker"
    assert thresholds({card_scores.OWN: own})["known maker"] < 1


def test_what_a_kind_refuses_does_not_close_the_others():
    """So many cards may have two errors, but of those that their kind accepts only the first 700
    are there to show it, and have none."""
    own = replace(cards(2000, 0.65), kind=np.full(2000, "check digit"))
    own.kind[800:] = "none"  # all of them wrong
    assert thresholds({card_scores.OWN: own})["check digit"] == pytest.approx(0.65, abs=0.01)


def test_numbers_and_makers_are_held_out_whole():
    vins = [f"{maker}ZZZ1JZ3W38675{i}" for maker in ("WVW", "VF1", "TMB", "XTA") for i in range(9)]
    real = number_statistics.Real(tuple(vins), ("one",) * len(vins), 0)
    found = card_scores._otherwise_held_out(real, np.random.default_rng(0))
    for name, parted in found.items():
        assert parted.vins == real.vins and len(set(parted.sources)) > 1
        for _, taught, held in number_statistics.folds(parted, 1):
            assert sorted(taught + held) == sorted(vins)
            shared = {vin[:3] for vin in taught} & {vin[:3] for vin in held}
            assert not shared if name == "makers held out" else shared
