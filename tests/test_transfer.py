"""One calibration for hands of several sources, and the table that sets them side by side."""

from pathlib import Path

from vintraining.data.dataset import class_weights
from vintraining.hands.labelled import CHECKED
from vintraining.parameters import load
from vintraining.scores import accepting, charts, figures, transfer

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score

from vinreader.spec import BOXES, CHARACTERS, INDEX

HOW = load(Path(__file__).parents[1] / "params.yaml").evaluate.model_copy(
    update={"target_risk": 0.01}
)


def answers(seed: int, sureness: float, right: float, classes: int = 33) -> transfer.Answers:
    """6,000 answers; the smaller `right`, the more are wrong, however sure the network is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, 6000).astype(np.uint8)
    logits = rng.normal(size=(6000, 33)).astype(np.float32)
    logits[np.arange(6000), labels] += right
    return transfer.Answers(logits * sureness, labels)


@pytest.fixture(scope="module")
def origins() -> dict[str, transfer.Answers]:
    return {"home": answers(1, 2.0, 6.0), "abroad": answers(2, 2.0, 4.0, classes=10)}


def test_the_threshold_keeps_the_target_risk_on_other_hands(origins):
    found = transfer.calibrate(origins, HOW)
    errors = []
    for seed, right, classes in ((11, 6.0, 33), (12, 4.0, 10)):
        others = answers(seed, 2.0, right, classes)  # nobody chose anything on these
        read = others.read(found.temperature)
        accepted = accepting.at(found.threshold, read.confidence, ~read.right)
        assert accepted.accepted > 0.5
        errors.append(accepted.wrong)
    assert np.mean(errors) <= 0.015 and max(errors) <= 0.03


def test_a_small_source_does_not_end_all_acceptance(origins):
    few = answers(5, 2.0, 6.0, classes=10)
    few = transfer.Answers(few.logits[:200], few.labels[:200])
    how = HOW.model_copy(update={"target_risk": 0.005})
    found = transfer.calibrate({"home": origins["home"], "few": few}, how)
    assert found.threshold < 1


def test_sources_weigh_the_same_in_the_temperature_however_large(origins):
    home, abroad = origins["home"], answers(3, 4.0, 4.0)
    twice = transfer.Answers(np.tile(home.logits, (3, 1)), np.tile(home.labels, 3))
    once, again = (
        transfer.calibrate({"home": one, "abroad": abroad}, HOW).temperature
        for one in (home, twice)
    )
    assert once == pytest.approx(again, rel=1e-4)


def test_an_archive_weighs_as_much_as_it_has_checked_cards_and_the_others_as_the_prior():
    prior = HOW.prior_cards
    weights = [
        transfer.evidence({"emnist": 9000, "letters": 90, CHECKED: cards * BOXES}, prior)
        for cards in (3, prior, 100 * prior)
    ]
    assert [each["emnist"] for each in weights] == [each["letters"] for each in weights]
    few, as_many, most = (each[CHECKED] for each in weights)
    assert few < 0.1 and as_many == 0.5 and most > 0.98
    assert [sum(each.values()) for each in weights] == pytest.approx([1, 1, 1])
    assert transfer.evidence({CHECKED: BOXES}, prior) == {CHECKED: 1}


@pytest.mark.parametrize("right, opens", [(8.0, True), (4.0, False)], ids=["surer", "worse"])
def test_the_more_cards_an_archive_has_checked_the_more_its_own_hands_set_the_threshold(
    origins, right, opens
):
    theirs = answers(6, 2.0, right)

    def threshold(cards: int) -> float:
        some = slice(cards * BOXES)
        checked = transfer.Answers(theirs.logits[some], theirs.labels[some])
        return transfer.calibrate(origins | {CHECKED: checked}, HOW).threshold

    few, many = threshold(2), threshold(300)
    assert many < few - 0.02 if opens else many > few + 0.02


def test_with_the_kind_known_a_digit_is_only_taken_for_digits():
    probabilities = np.zeros((3, 33))
    labels = np.array([INDEX["2"], INDEX["2"], INDEX["Z"]], np.uint8)
    for row, (first, second) in enumerate(("Z2", "Z7", "2Z")):
        probabilities[row, INDEX[first]], probabilities[row, INDEX[second]] = 0.6, 0.3
    assert figures.right_of_kind(probabilities, labels).tolist() == [True, False, True]


def test_figures_are_those_of_scikit_learn(origins):
    found = transfer.calibrate(origins, HOW)
    test = answers(4, 2.0, 4.0)
    read = test.read(found.temperature)
    told = figures.figures(read, found.threshold, bins=15)
    predicted = test.logits.argmax(axis=1)
    assert told["accuracy"] == pytest.approx(accuracy_score(test.labels, predicted), abs=1e-5)
    assert told["balanced_accuracy"] == pytest.approx(
        balanced_accuracy_score(test.labels, predicted), abs=1e-5
    )
    assert told["balanced_accuracy"] < told["kind_known"] < 1
    weights = class_weights(test.labels)
    assert told["accepted"] == pytest.approx(
        weights @ (read.confidence >= found.threshold), abs=1e-5
    )
    low, high = told["accepted_error_95_percent_interval"]
    assert low <= told["accepted_error"] <= high


def test_the_plot_has_every_set_and_none_accepted_is_no_error(tmp_path, origins):
    read = {name: test.read(1.0) for name, test in origins.items()}
    sets = {name: figures.figures(one, accepting.NOTHING, 15) for name, one in read.items()}
    assert all(told["accepted"] == told["accepted_error"] == 0 for told in sets.values())
    charts.transfer(tmp_path / "sets.png", sets, 0.005)
    assert (tmp_path / "sets.png").stat().st_size > 5000
    assert CHARACTERS[:10] == "".join(np.array(list(CHARACTERS))[figures.IS_DIGIT])
