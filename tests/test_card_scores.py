"""Cards of one hand: who wrote them, and that they can only raise a threshold."""

from pathlib import Path

from vintraining import accepting, card_scores
from vintraining.parameters import load

import numpy as np
import pytest

from vinreader import decoding
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
    decoded = decoding.Decoding(vin, vin, 0.9, "none", (), "ok", "", "", "", ())
    digits = np.arange(10)
    others = np.eye(33) * 0.5 + 0.01, np.arange(33)
    hands = [(np.eye(33)[:10] * sure + 0.01, digits) for sure in (0.6, 0.7)]
    written = card_scores.Written(others, {"hands": hands})
    read = card_scores._read_all(written, [(None, [vin] * 40)], np.random.default_rng(0))
    assert set(read) == {card_scores.OWN, "hands"} and len(read["hands"].right) == 40
    sure = [np.exp(logs).max(axis=2).round(3) - 0.01 for logs in seen]
    assert (abs(sure[0] - 0.5) < 1e-6).all()
    is_digit = np.array([c in CHARACTERS[:10] for c in vin])
    for writer, cards in zip((0.6, 0.7), sure[1:], strict=True):
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


def test_a_worse_hand_raises_the_threshold_and_a_better_one_does_not_lower_it():
    alone = card_scores._thresholds({card_scores.OWN: cards(20_000, 0.5)}, EVALUATE)
    worse = {card_scores.OWN: cards(20_000, 0.5), "hands": cards(20_000, 0.8)}
    better = {card_scores.OWN: cards(20_000, 0.5), "hands": cards(20_000, 0.2)}
    assert alone["none"] == pytest.approx(0.5, abs=0.01)
    assert card_scores._thresholds(worse, EVALUATE)["none"] == pytest.approx(0.8, abs=0.01)
    assert card_scores._thresholds(better, EVALUATE) == alone
    assert alone["check digit"] == accepting.NOTHING  # no such card: nothing is known of them
