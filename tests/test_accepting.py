"""The rule of accepting keeps its word for boxes and cards, and the interval is exact."""

from vintraining.scores import accepting

import numpy as np
import pytest
from scipy.stats import binomtest


def sample(n, seed=0):
    """Confidence of calibrated readings, and which are wrong."""
    rng = np.random.default_rng(seed)
    confidence = 1 - rng.uniform(0, 0.3, n) ** 2
    return confidence, rng.random(n) > confidence


def test_errors_of_one_writer_widen_the_interval():
    wrong = np.arange(1000) < 20
    sure, apart = np.ones(1000), np.arange(1000)
    one_by_one = accepting.at(0.5, sure, wrong).interval
    assert accepting.at(0.5, sure, wrong, clusters=apart).interval == one_by_one
    low, high = accepting.at(0.5, sure, wrong, clusters=apart // 20).interval  # one of 50 writers
    assert low == 0 and high > 1.5 * one_by_one[1]


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


def readings(n, seed=0):
    return accepting.Readings(*sample(n, seed))


def test_the_largest_set_with_the_expected_risk_is_accepted():
    confidence, wrong = sample(100_000, seed=1)
    found = accepting.threshold([accepting.Readings(confidence, wrong)], 0.01)
    accepted = confidence >= found
    assert (1 - confidence[accepted]).mean() <= 0.01
    more = confidence >= confidence[~accepted].max()
    assert (1 - confidence[more]).mean() > 0.01
    assert wrong[accepted].mean() == pytest.approx(0.01, abs=0.001)  # these are calibrated


def test_the_threshold_hardly_depends_on_which_readings_chose_it():
    found = [accepting.threshold([readings(3000, seed)], 0.01) for seed in range(30)]
    assert np.std(found) < 0.005 and max(found) < 1


def test_sources_weigh_the_same_however_large():
    sure = accepting.Readings(np.full(50, 0.9999), np.zeros(50, bool))
    once = accepting.by_expected_risk([readings(2000), sure], 0.01)
    repeated = accepting.Readings(*(np.tile(values, 4) for values in sample(2000)))
    assert accepting.by_expected_risk([repeated, sure], 0.01) == once
    assert once < accepting.by_expected_risk([readings(2000)], 0.01)


def test_a_source_with_too_many_errors_raises_the_threshold_and_one_with_few_does_not():
    alone = accepting.threshold([readings(5000)], 0.01)
    confidence, wrong = sample(5000, seed=2)
    luckless = accepting.Readings(confidence, wrong | (confidence < 0.985))
    found = accepting.threshold([readings(5000), luckless], 0.01)
    assert found > alone
    left = accepting.at(found, luckless.confidence, luckless.wrong)
    assert left.interval[0] <= 2 * 0.01
    right = accepting.Readings(confidence, np.zeros(5000, bool))
    assert accepting.threshold([readings(5000), right], 0.01) == pytest.approx(alone, abs=0.003)
    one = accepting.Readings(np.array([0.999]), np.array([True]))  # tells nothing
    assert accepting.threshold([readings(5000), one], 0.01) < 1


def test_weights_say_how_much_each_reading_counts():
    confidence, wrong = np.array([0.999, 0.95]), np.zeros(2, bool)
    even = accepting.threshold([accepting.Readings(confidence, wrong)], 0.01)
    heavy = accepting.Readings(confidence, wrong, np.array([0.9, 0.1]))
    assert (even, accepting.threshold([heavy], 0.01)) == (0.999, 0.95)


def test_where_nothing_can_be_accepted_the_threshold_is_above_every_confidence():
    for confidence, wrong in ((np.full(20, 0.9), np.full(20, False)), (np.zeros(0), np.zeros(0))):
        expected = accepting.threshold([accepting.Readings(confidence, wrong)], 0.005)
        certain = accepting.certain_threshold(confidence, wrong, 0.005, 0.9)
        assert expected == certain == accepting.NOTHING
    nothing = accepting.at(accepting.NOTHING, np.full(20, 0.999), np.full(20, False))
    assert (nothing.accepted, nothing.wrong, nothing.interval) == (0, 0, (0, 1))


def test_equal_confidences_are_accepted_together():
    confidence = np.repeat([1.0, 0.99, 0.5], 2000)
    wrong = np.r_[np.full(4000, False), np.arange(2000) % 2 == 0]
    assert accepting.certain_threshold(confidence, wrong, 0.01, 0.9) == 0.99
    assert accepting.threshold([accepting.Readings(confidence, wrong)], 0.01) == 0.99


def test_what_an_audit_shows_holds_as_often_as_it_says():
    everyone, errors = sample(400_000, seed=1)
    found = [accepting.certain_threshold(*sample(3000, seed + 2), 0.01, 0.9) for seed in range(60)]
    truth = [accepting.at(one, everyone, errors) for one in found]
    assert sum(one.wrong <= 0.01 for one in truth) >= 0.9 * 60
    confidence, wrong = sample(3000)
    by = [accepting.certain_threshold(confidence, wrong, 0.01, c) for c in (0.5, 0.9, 0.99)]
    assert by[0] < by[1] < by[2]
