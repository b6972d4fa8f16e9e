"""Cards of one hand: who wrote them, and one threshold for all cards."""

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


def calibrated(count, sureness, seed=0):
    """Cards that are right as often as they say; the larger `sureness`, the surer."""
    rng = np.random.default_rng(seed)
    confidence = 1 - rng.exponential(1 / sureness, count).clip(0, 1)
    right = rng.random(count) < confidence
    everywhere = np.full(count, "none"), np.full(count, "europe"), np.arange(count)
    return card_scores.Cards(confidence, right, right, *everywhere)


def threshold(**read: card_scores.Cards) -> float:
    return card_scores._threshold(read, dict.fromkeys(read, 1.0), EVALUATE.target_risk)


def test_one_threshold_keeps_the_target_risk_on_other_cards():
    found = threshold(many=calibrated(20_000, 50), hands=calibrated(2000, 20))
    other = calibrated(100_000, 50, seed=1)
    accepted = accepting.at(found, other.confidence, ~other.right)
    assert accepted.wrong <= EVALUATE.target_risk and accepted.accepted > 0.2


def test_a_hand_that_is_read_worse_than_it_says_raises_the_threshold():
    many, hands = calibrated(20_000, 50), calibrated(20_000, 50, seed=1)
    assert threshold(many=many, hands=hands) == pytest.approx(threshold(many=many), abs=0.002)
    overrated = replace(hands, right=hands.right & (hands.confidence > 0.998))
    assert threshold(many=many, hands=overrated) > threshold(many=many, hands=hands)


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
