"""One definition of accepting: the threshold keeps its word, and the interval is exact."""

from vintraining.scores import accepting

import numpy as np
import pytest
from scipy.stats import binomtest


def sample(n, seed=0):
    """Confidence of calibrated readings, and which are wrong."""
    rng = np.random.default_rng(seed)
    confidence = 1 - rng.uniform(0, 0.3, n) ** 2
    return confidence, rng.random(n) > confidence


@pytest.mark.parametrize("wrong, of", [(0, 10), (1, 10), (10, 10), (3, 1000), (0, 1)])
def test_the_interval_is_that_of_clopper_and_pearson(wrong, of):
    low, high = accepting.interval(wrong, of)
    expected = binomtest(wrong, of).proportion_ci(0.95, "exact")
    assert (low, high) == (pytest.approx(expected.low), pytest.approx(expected.high))
    one_sided = binomtest(wrong, of, alternative="less").proportion_ci(0.9, "exact")
    assert accepting.upper_bound(wrong, of, 0.9) == pytest.approx(one_sided.high)


def test_equal_weights_tell_as_much_as_none_and_unequal_ones_less():
    assert accepting.effective(np.full(50, 0.3)) == pytest.approx(50)
    assert accepting.effective(np.r_[np.ones(10), np.zeros(90)]) == pytest.approx(10)
    confidence, wrong = sample(2000)
    even = accepting.at(0.95, confidence, wrong)
    assert even == accepting.at(0.95, confidence, wrong, np.full(2000, 3.0))
    heavy = np.where(np.arange(2000) % 10 == 0, 50.0, 1.0)
    uneven = accepting.at(0.95, confidence, wrong, heavy)
    assert np.ptp(uneven.interval) > 1.5 * np.ptp(even.interval)


def test_what_a_threshold_accepts_is_counted():
    confidence = np.array([0.99, 0.98, 0.97, 0.9])
    found = accepting.at(0.97, confidence, np.array([False, True, False, True]))
    assert (found.accepted, found.wrong, found.readings) == (0.75, pytest.approx(1 / 3), 4)
    expected = binomtest(1, 3).proportion_ci(0.95, "exact")
    assert found.interval == pytest.approx((expected.low, expected.high))
    by_kind = accepting.at(np.array([1.0, 0.5, 1.0, 0.5]), confidence, np.full(4, False))
    assert (by_kind.accepted, by_kind.wrong) == (0.5, 0)


def test_the_threshold_keeps_its_error_as_often_as_it_says():
    everyone, errors = sample(400_000, seed=1)
    kept, accepted = 0, []
    for seed in range(60):
        found = accepting.threshold(*sample(3000, seed + 2), 0.01, 0.9)
        truth = accepting.at(found, everyone, errors)
        kept += truth.wrong <= 0.01
        accepted.append(truth.accepted)
    assert kept >= 0.9 * 60
    best = accepting.at(0.97, everyone, errors)  # 1 % wrong, calibrated as these are
    assert best.wrong == pytest.approx(0.01, abs=0.001)
    assert np.mean(accepted) > 0.65 * best.accepted


def test_a_failure_ends_a_search_and_only_a_start_further_down_goes_on():
    confidence = np.linspace(1, 0.5, 20_000)
    wrong = np.arange(20_000) < 20
    assert accepting.threshold(confidence, wrong, 0.01, 0.9) == 0.5  # 20 errors are 0.1 % of all
    assert accepting.threshold(confidence, np.roll(wrong, 5000), 0.01, 0.9) == 0.5
    many = np.arange(20_000) < 400  # and 400 are 2 %
    assert accepting.threshold(confidence, many, 0.01, 0.9) == accepting.NOTHING


def test_more_certainty_accepts_less():
    confidence, wrong = sample(3000)
    found = [accepting.threshold(confidence, wrong, 0.01, c) for c in (0.5, 0.9, 0.99)]
    assert found[0] < found[1] < found[2]


def test_where_nothing_can_be_accepted_the_threshold_is_above_every_confidence():
    few = np.full(20, 0.999)
    for confidence, wrong in ((few, np.full(20, False)), (few, np.full(20, True)), ([], [])):
        found = accepting.threshold(np.array(confidence), np.array(wrong, bool), 0.005, 0.9)
        assert found == accepting.NOTHING
    nothing = accepting.at(accepting.NOTHING, few, np.full(20, False))
    assert (nothing.accepted, nothing.wrong, nothing.interval) == (0, 0, (0, 1))


def test_equal_confidences_are_accepted_together():
    confidence = np.repeat([1.0, 0.99, 0.5], 2000)
    wrong = np.r_[np.full(4000, False), np.arange(2000) % 2 == 0]
    assert accepting.threshold(confidence, wrong, 0.01, 0.9) == 0.99


def test_fewer_readings_than_the_least_find_no_threshold():
    for error, certainty in ((0.005, 0.9), (0.005, 0.5), (0.02, 0.95)):
        enough = accepting.least(error, certainty)
        right = np.zeros(enough, bool)
        sure = np.linspace(0.9, 0.99, enough)
        assert accepting.threshold(sure, right, error, certainty) == sure[0]
        assert accepting.threshold(sure[1:], right[1:], error, certainty) == accepting.NOTHING
