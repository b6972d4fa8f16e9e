"""The figures, against straightforward computations and scikit-learn."""

from vintraining.data.dataset import class_weights
from vintraining.scores import figures as scores

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, recall_score

from vinreader.litert import softmax


@pytest.fixture(scope="module")
def read():
    """Logits of a reader that is right 80 % of the time and 2.5 times too sure of itself."""
    rng = np.random.default_rng(0)
    labels = rng.choice(33, 4000, p=np.r_[np.full(10, 0.08), np.full(23, 0.2 / 23)])
    truth = rng.normal(size=(4000, 33))
    truth[np.arange(4000), labels] += 2.2
    return truth * 2.5, labels


def test_balanced_figures_are_those_of_scikit_learn(read):
    logits, labels = read
    predicted = logits.argmax(axis=1)
    assert scores.recall(predicted, labels) == pytest.approx(
        recall_score(labels, predicted, average=None)
    )
    assert class_weights(labels) @ (predicted == labels) == pytest.approx(
        balanced_accuracy_score(labels, predicted)
    )


def test_the_temperature_minimises_the_likelihood_loss(read):
    logits, labels = read
    weights = class_weights(labels)
    found = scores.temperature(logits, labels, weights)

    def loss(temperature):
        return -weights @ np.log(softmax(logits, temperature)[np.arange(len(labels)), labels])

    assert loss(found) <= min(loss(found * 0.97), loss(found * 1.03))
    assert scores.temperature(logits * 3, labels, weights) == pytest.approx(3 * found, rel=1e-3)


def test_calibration_error_of_made_up_confidences():
    probabilities = np.full((100, 33), 0.1 / 32)
    probabilities[:, 0] = 0.9
    labels = np.r_[np.zeros(70, int), np.ones(30, int)]
    weights = np.full(100, 0.01)
    for truth, error in ((labels, 0.2), (np.zeros(100, int), 0.1)):
        read = scores.Read(probabilities, truth)
        assert scores.calibration_error(read, weights, 10) == pytest.approx(error)


def test_no_more_can_be_accepted_with_the_stated_error(read):
    logits, labels = read
    weights = class_weights(labels)
    probabilities = softmax(logits, scores.temperature(logits, labels, weights))
    confidence, wrong = probabilities.max(axis=1), probabilities.argmax(axis=1) != labels
    share = scores.acceptable(confidence, wrong, weights, 0.05)

    def error_and_share(threshold):
        accepted = weights * (confidence >= threshold)
        return (accepted @ wrong) / accepted.sum(), accepted.sum()

    curve = [error_and_share(threshold) for threshold in np.sort(confidence)]
    assert share == pytest.approx(max(accepted for error, accepted in curve if error <= 0.05))


def test_where_the_surest_are_wrong_nothing_can_be_accepted():
    assert scores.acceptable(np.ones(3), np.full(3, True), np.full(3, 1 / 3), 0.1) == 0


def test_coverage_falls_from_all_to_the_surest(read):
    logits, labels = read
    probabilities = softmax(logits)
    thresholds, accepted, error = scores.coverage(
        probabilities.max(axis=1), probabilities.argmax(axis=1) != labels, class_weights(labels)
    )
    assert (np.diff(thresholds) < 0).all() and (np.diff(accepted) > 0).all()
    assert accepted[-1] == pytest.approx(1)
    assert error[-1] == pytest.approx(
        1 - balanced_accuracy_score(labels, probabilities.argmax(axis=1))
    )


def test_equal_confidences_are_accepted_together():
    confidence, quarter = np.array([0.9, 0.9, 0.8, 0.7]), np.full(4, 0.25)

    def acceptable(right, error):
        return scores.acceptable(confidence, ~np.array(right), quarter, error)

    assert acceptable([True] * 4, 0) == 1
    assert acceptable([True, False, True, True], 0) == 0
    assert acceptable([True, True, False, True], 0) == 0.5
    assert acceptable([True, True, False, True], 0.25) == 1


def test_the_interval_holds_the_mean_recall_as_often_as_it_says():
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(33), 60)
    held = 0
    for _ in range(400):
        right = rng.random(len(labels)) < 0.9
        low, high = scores.interval(np.where(right, labels, (labels + 1) % 33), labels)
        held += low <= 0.9 <= high
    assert 0.92 <= held / 400 <= 0.98


def test_pairs_count_both_directions():
    labels = np.array([2, 2, 32, 5, 7])  # 2 2 Z 5 7
    predicted = np.array([32, 2, 2, 25, 7])  # Z 2 2 S 7
    assert scores.pairs(predicted, labels, 10) == {"2 Z": 2, "5 S": 1}
    assert scores.pairs(predicted, labels, 1) == {"2 Z": 2}
