import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vininfo.dicts import WMI

from vinreader import vin
from vinreader.spec import CHARACTERS, DIGITS, INDEX
from vintraining import simulate

VALID = ("1G4AH59H45G118341", "1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715")
EUROPEAN = "WVWZZZ1JZ3W386752"
FORMED = ("TMBZZZ6KZ8R123456", "XTA210930Y2712345", "WDB1240231A123456", "VF1BA0F0516123456")

LISTED = {
    name
    for name in map("".join, itertools.product(CHARACTERS, repeat=3))
    if name in WMI or name[:2] in WMI
}

characters = st.sampled_from(CHARACTERS)
weighing = st.sampled_from([*range(1, 9), *range(10, 18)])  # positions; the check digit weighs 0
numbers = st.text(CHARACTERS, min_size=17, max_size=17)


def reading(number, doubts=(), sure=0.99):
    """(17, 33) log probabilities of a clear reading, but (position, character, probability)s."""
    boxes = np.full((17, 33), (1 - sure) / 32)
    for i, character in enumerate(number):
        boxes[i, INDEX[character]] = sure
    for position, character, probability in doubts:
        boxes[position - 1] *= 1 - probability
        boxes[position - 1, INDEX[character]] += probability
    return np.log(boxes)


# The rules


@pytest.mark.parametrize("number", VALID)
def test_valid_numbers_hold_their_check_digit(number):
    assert vin.check_digit(number) == number[8]
    assert vin.check_digit_status(number) == "ok"


@given(numbers)
def test_check_digit_is_a_fixed_point_and_independent_of_position_9(number):
    digit = vin.check_digit(number)
    assert vin.check_digit(number[:8] + digit + number[9:]) == digit


@given(numbers, st.integers(0, 16), characters)
def test_check_digit_notices_every_change_of_value(number, position, character):
    changed = number[:position] + character + number[position + 1 :]
    same_value = vin.VALUES[character] == vin.VALUES[number[position]]
    if position != 8:
        assert (vin.check_digit(changed) == vin.check_digit(number)) == same_value


@pytest.mark.parametrize("number", ["", "1M8", "1M8GDM9AXKP04278O", "1m8gdm9axkp042788"])
def test_check_digit_refuses_what_is_no_number(number):
    with pytest.raises(ValueError, match="17 characters"):
        vin.check_digit(number)


def test_check_digit_status():
    assert vin.check_digit_status("1M8GDM9A0KP042788") == "wrong"
    assert vin.check_digit_status(EUROPEAN) == "not required"


@pytest.mark.parametrize(
    "number, region, maker, year",
    [
        ("1G4AH59H45G118341", "North America", "Buick", "2005"),
        ("1M8GDM9AXKP042788", "North America", "Mercury", "1989"),
        ("1M8GDMAAXKP042788", "North America", "Mercury", "2019"),
        ("XTA210930Y2712345", "Europe", "AvtoVAZ", "2000 or 2030"),
        (EUROPEAN, "Europe", "Volkswagen", "2003"),
        ("WBAVA31060NL12345", "Europe", "BMW", ""),
        ("0B" + "0" * 15, "", "", ""),
    ],
)
def test_what_a_number_tells(number, region, maker, year):
    told = vin.region(number), vin.manufacturer(number), vin.model_year(number)
    assert told == (region, maker, year)


# Decoding


# The last one has an S where its maker usually has a digit.
@pytest.mark.parametrize(
    "number", [*VALID, EUROPEAN, *FORMED, "ZFA18800001234567", "XTA21S930Y2712345"]
)
@pytest.mark.parametrize("rules", ["auto", "none"])
def test_clear_readings_stay_as_they_are(number, rules):
    decoding = vin.decode(reading(number, sure=0.9999), rules)
    assert decoding.vin == decoding.raw == number
    assert decoding.changed == ()
    assert decoding.confidence > 0.99


@pytest.mark.parametrize(
    "number, position, misread, rule",
    [
        ("1M8GDM9AXKP042788", 15, "T", "the last four are digits"),
        ("1M8GDM9AXKP042788", 10, "0", "model year"),
        ("1M8GDM9AXKP042788", 9, "K", "check digit"),
        ("1M8GDM9AXKP042788", 5, "0", "check digit"),
        ("1G4AH59H45G118341", 1, "7", "maker's code"),
        (EUROPEAN, 6, "2", "usual form"),
        ("XTA210930Y2712345", 6, "D", "usual form"),
    ],
)
def test_rules_correct_a_misread_box_and_say_which(number, position, misread, rule):
    log_probabilities = reading(number, [(position, misread, 0.6)])
    decoding = vin.decode(log_probabilities)
    right = number[position - 1]
    assert decoding.vin == number
    assert decoding.raw == number[: position - 1] + misread + number[position:]
    assert decoding.changed == (vin.Change(position, misread, right, rule),)
    assert str(decoding.changed[0]) == f"box {position}: {misread} -> {right} ({rule})"
    assert decoding.alternatives[position - 1][0][0] == right
    plain = vin.decode(log_probabilities, rules="none")
    assert plain.vin == plain.raw == decoding.raw
    assert plain.changed == ()


@given(st.integers(0, 199), st.sampled_from([4, 5, 6, 7, 8, 11]), characters)
@settings(deadline=None, max_examples=60)
def test_check_digit_never_changes_a_number_that_needs_none(which, position, other):
    """Neither does one that fits the check digit with another character pull the reading over."""
    number = simulate.random_vins(200, "europe", seed=3)[which]
    decoding = vin.decode(reading(number, [(position, other, 0.45)], sure=0.9999))
    forms = [form for makers, form in vin.USUAL_FORMS if number[:3] in makers]
    assert decoding.vin == number or any(form[position - 4] != "*" for form in forms)


def test_first_character_is_not_changed_to_please_the_check_digit():
    free = "SAJFNEPR22W557192"
    required = "5" + free[1:]
    required = required[:8] + vin.check_digit(required) + required[9:]
    decoding = vin.decode(reading("S" + required[1:], [(1, "5", 0.45)], sure=0.9999))
    assert decoding.vin == "S" + required[1:]
    assert decoding.confidence < 0.5


def test_what_does_not_fit_gets_a_low_confidence():
    wrong = "1M8GDM9A1KP042788"
    assert vin.decode(reading(wrong)).confidence < 0.5


def test_an_unreadable_box_is_found_by_the_check_digit():
    log_probabilities = reading("1M8GDM9AXKP042788", sure=0.9999)
    log_probabilities[15] = 0
    decoding = vin.decode(log_probabilities)
    assert decoding.vin == "1M8GDM9AXKP042788"
    assert [change.position for change in decoding.changed] == [16]


def test_blank_cards_are_read_without_confidence():
    decoding = vin.decode(np.zeros((17, 33)))
    assert decoding.confidence < 1e-9
    assert all(probability <= 1 for box in decoding.alternatives for _, probability in box)


@pytest.mark.parametrize(
    "log_probabilities",
    [np.zeros((16, 33)), np.zeros((17, 32)), np.full((17, 33), np.nan), np.full((17, 33), -np.inf)],
)
def test_bad_input_is_refused(log_probabilities):
    with pytest.raises(ValueError):
        vin.decode(log_probabilities)


def test_unknown_rules_are_refused():
    with pytest.raises(ValueError, match="rules"):
        vin.decode(np.zeros((17, 33)), rules="some")


def test_no_cards_are_no_decodings():
    assert vin.decode_batch(np.zeros((0, 17, 33))) == []


def test_batch_and_single_readings_agree():
    rng = np.random.default_rng(0)
    cards = np.stack([reading(n) for n in (*VALID, EUROPEAN)]) + rng.normal(0, 2, (5, 17, 33))
    for card, decoding in zip(cards, vin.decode_batch(cards), strict=True):
        alone = vin.decode(card)
        assert (alone.vin, alone.changed) == (decoding.vin, decoding.changed)
        assert alone.confidence == pytest.approx(decoding.confidence)


# Against brute force


@given(st.integers(0, 10**6), st.lists(weighing, min_size=1, max_size=3))
@settings(deadline=None, max_examples=40)
def test_folding_remainders_against_brute_force(seed, positions):
    """Few characters at few positions: every string, one by one."""
    rng = np.random.default_rng(seed)
    alphabet = rng.choice(33, 6, replace=False)
    weights = np.zeros((len(positions), 33))
    weights[:, alphabet] = rng.random((len(positions), 6))
    expected = {np.max: np.zeros(11), np.sum: np.zeros(11)}
    for string in itertools.product(alphabet, repeat=len(positions)):
        remainder = sum(
            vin.VALUES[CHARACTERS[c]] * vin.WEIGHTS[p - 1]
            for c, p in zip(string, positions, strict=True)
        )
        weight = np.prod(weights[np.arange(len(positions)), string])
        for combine, table in expected.items():
            table[remainder % 11] = combine([table[remainder % 11], weight])
    for combine, table in expected.items():
        found = np.eye(1, 11)
        for position, characters_there in zip(positions, weights, strict=True):
            added = vin.remainder_table(position, characters_there[None], combine)
            found = vin.fold(found, added, combine)
        np.testing.assert_allclose(found[0], table)


def prior(number):
    """The prior of one number, spelled out from the module's constants: the parts it is the sum
    of, by maker listed or not, and by usual form."""
    maker, required = number[:3], vin.check_digit_required(number)
    plain = 1.0
    for position in range(4, 18):
        c = number[position - 1]
        if position == 9 and required:
            share = float(c == vin.check_digit(number))
        elif position == 10:
            odd = {c: 0 if required else vin.UNUSUAL_YEAR for c in "UZ"}
            odd["0"] = 0 if required else 1
            share = odd.get(c, 1) / (30 + sum(odd.values()))
        elif position in vin.USUAL_DIGITS:
            digits = vin.USUAL_DIGITS[position]
            share = digits / 10 if c in DIGITS else (1 - digits) / 23
        elif position >= 14:
            share = float(c in DIGITS) / 10
        else:
            share = 1 / 33
        plain *= share
    parts = [vin.NEW_MAKERS / 33**3 * plain]
    if maker in LISTED:
        parts.append((1 - vin.NEW_MAKERS - vin.FORMED) / len(LISTED) * plain)
    signs = {"#": DIGITS, "Y": vin.MODEL_YEARS, "@": "ABCDEFGHJKLMNPRSTUVWXYZ"}
    for makers, form in vin.USUAL_FORMS:
        if maker in makers:
            part = vin.FORMED / sum(len(others) for others, _ in vin.USUAL_FORMS)
            for c, sign in zip(number[3:13], form, strict=False):
                usual = signs.get(sign, sign)
                if sign == "*":
                    part /= 33
                elif c in usual:
                    part *= vin.USUAL / len(usual)
                else:
                    part *= (1 - vin.USUAL) / (33 - len(usual))
            parts.append(part * number[13:].isdigit() / 10**4)
    return parts


@given(st.integers(0, 10**6), st.sampled_from([*VALID, EUROPEAN, *FORMED]))
@settings(deadline=None, max_examples=60)
def test_decoding_against_brute_force(seed, number):
    """Two characters in nine boxes, the others certain: all 512 numbers, one by one."""
    rng = np.random.default_rng(seed)
    boxes = np.zeros((17, 33))
    choices = []
    for i, c in enumerate(number):
        sure = i in (4, 6, 7, 10, 11, 13, 14, 15)
        choices.append(dict.fromkeys([c] if sure else [c, CHARACTERS[rng.integers(33)]]))
        boxes[i, [INDEX[o] for o in choices[-1]]] = rng.random(len(choices[-1])) + 0.05
    boxes /= boxes.sum(axis=1, keepdims=True)
    weights, largest = {}, {}
    for candidate in map("".join, itertools.product(*choices)):
        likelihood = np.prod(boxes[np.arange(17), [INDEX[c] for c in candidate]])
        weights[candidate] = likelihood * sum(prior(candidate))
        largest[candidate] = likelihood * max(prior(candidate))
    total = sum(weights.values())
    with np.errstate(divide="ignore"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(vin, "STRAY", 1e-30)
        decoding = vin.decode(np.log(boxes))
    best = max(weights, key=weights.get)
    if vin.check_digit_required(best) != vin.check_digit_required(decoding.vin):
        # only to keep a check digit from deciding the region
        assert vin.check_digit_required(best)
        best = max((n for n in weights if not vin.check_digit_required(n)), key=weights.get)
    # A number of many kinds may weigh more than the best of each kind, but never as one of a kind.
    found = weights[decoding.vin]
    assert found == pytest.approx(weights[best]) or largest[best] < found < weights[best]
    assert decoding.confidence == pytest.approx(weights[decoding.vin] / total)
    for position, alternatives in enumerate(decoding.alternatives):
        for character, probability in alternatives:
            weight = sum(w for n, w in weights.items() if n[position] == character)
            assert probability == pytest.approx(weight / total, abs=1e-9)


# Simulated cards


@pytest.mark.parametrize("kind", ["north_america", "europe"])
def test_simulated_numbers_are_numbers_and_repeatable(kind):
    made = simulate.random_vins(500, kind, seed=1)
    assert len(set(made)) == 500
    assert made == simulate.random_vins(500, kind, seed=1)
    assert made != simulate.random_vins(500, kind, seed=2)
    assert all(len(number) == 17 and set(number) <= set(CHARACTERS) for number in made)
    assert all(number[13:].isdigit() for number in made)
    holds = np.mean([vin.check_digit_status(number) == "ok" for number in made])
    required = np.mean([vin.check_digit_required(number) for number in made])
    if kind == "north_america":
        assert holds == required == 1
    else:
        assert holds < 0.15 and required == 0


def test_simulation_refuses_other_kinds():
    with pytest.raises(ValueError, match="kind"):
        simulate.random_vins(1, "moon")


def test_cards_of_a_perfect_reader_are_perfect():
    labels = np.repeat(np.arange(33), 3)
    log_probs = np.log(np.eye(33)[labels] * 0.999 + 0.001 / 33)
    scores = simulate.evaluate_cards(log_probs, labels, simulate.random_vins(50), seed=0)
    assert scores["raw_exact_match"] == scores["decoded_exact_match"] == 1
    assert scores["coverage_at_half_percent_error"] == pytest.approx(1)
    assert scores["right_made_wrong"] == 0
    assert scores["cards"] == 50


def test_cards_of_a_confused_reader_gain_by_the_rules():
    labels = np.repeat(np.arange(33), 20)
    boxes = np.full((len(labels), 33), 1e-4)
    boxes[np.arange(len(labels)), labels] = 1
    for a, b in ("5S", "2Z", "8B", "0D"):
        boxes[labels == INDEX[a], INDEX[b]] = np.linspace(0.01, 1.3, 20)
        boxes[labels == INDEX[b], INDEX[a]] = np.linspace(0.01, 1.3, 20)
    scores = simulate.evaluate_cards(np.log(boxes), labels, simulate.random_vins(200), seed=0)
    assert scores["raw_exact_match"] < 0.5 < 0.9 < scores["decoded_exact_match"]
    again = simulate.evaluate_cards(np.log(boxes), labels, simulate.random_vins(200), seed=0)
    assert scores == again
