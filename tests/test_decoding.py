"""The best number and its probability: against every number one by one, and what is told of it."""

import itertools

from vintraining.numbers import simulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import reading
from vinreader.number import decoding, vin
from vinreader.number import prior as numbers
from vinreader.spec import CHARACTERS, DIGITS, INDEX

NUMBER = "1M8GDM9AXKP042788"
VALID = ("1G4AH59H45G118341", NUMBER, "5GZCZ43D13S812715")
OTHERS = ("WVWZZZ1JZ3W386752", "XTA210930Y2712345", "VF1BA0F0516123456", "ZFA18800001234567")


def random_table(rng, alphabet):
    """A table of random counts after random beginnings of a few characters."""
    beginnings = {""}
    for _ in range(12):
        beginning = "".join(rng.choice(alphabet, rng.integers(1, numbers.DEPTH + 1)))
        beginnings |= {beginning[:n] for n in range(len(beginning) + 1)}
    counted = {}
    for beginning in sorted(beginnings):
        counted[beginning] = {}
        for position in range(len(beginning) + 1, 18):
            if beginning and rng.random() < 0.5:
                continue
            some = rng.choice(alphabet, rng.integers(1, len(alphabet) + 1), replace=False)
            tally = {str(c): int(rng.integers(1, 50)) for c in some}
            if rng.random() < 0.5:
                tally[""] = int(rng.integers(1, 9))
            counted[beginning][str(position)] = tally
        if rng.random() < 0.7:
            holds, other = rng.integers(0, 30, 2).tolist()
            counted[beginning][numbers.CHECK] = {"holds": holds, "not": other + 1}
        for codes in numbers.PERIODS:
            if len(beginning) >= 3 and rng.random() < 0.6:
                holds, other = rng.integers(0, 30, 2).tolist()
                counted[beginning][f"{numbers.CHECK} {codes}"] = {"holds": holds, "not": other + 1}
    shares = {"strength": 1.5, "diversity": 0.5, "unseen": float(rng.choice([0, 0.05]))}
    shares |= {"stray": 0, "old_makers": 0, "habit": 0, "older": 0.3}
    return shares | {"beginnings": counted}


def row(table, beginning, position):
    """(33,) what stands at a position after a beginning, spelled out from the table."""
    if beginning is None:
        return np.full(33, 1 / 33)
    shorter = row(table, beginning[:-1] if beginning else None, position)
    tally = table["beginnings"].get(beginning, {}).get(str(position))
    if tally is None:
        return shorter
    counts = np.array([tally.get(c, 0) for c in CHARACTERS], dtype=float)
    extra = table["strength"] + table["diversity"] * (counts > 0).sum()
    left_out = tally.get("", 0)
    return (counts + (extra + left_out) * shorter) / (counts.sum() + left_out + extra)


def smoothed(table, beginning, what, shorter):
    """A rate of the check digit after a beginning: what is counted there, and a shorter one's."""
    tally = table["beginnings"].get(beginning, {}).get(what)
    if tally is None:
        return shorter
    of = tally["holds"] + tally["not"]
    return (tally["holds"] + table["strength"] * shorter) / (of + table["strength"])


def rate(table, beginning):
    shorter = rate(table, beginning[:-1]) if beginning else 0.5
    return smoothed(table, beginning, numbers.CHECK, shorter)


def rate_of_year(table, beginning, year):
    """The check digit's rate after a beginning in one model year; None: that of all years."""
    if not beginning:
        return None
    shorter = rate_of_year(table, beginning[:-1], year)
    codes = "WXY1" if year < 2002 else "23456789" if year < 2010 else "ABCDEFGHJKLMNPRSTV"
    what = f"{numbers.CHECK} {codes}"
    if what not in table["beginnings"].get(beginning, {}):
        return shorter
    return smoothed(table, beginning, what, rate(table, beginning) if shorter is None else shorter)


def rate_of(table, cell, code):
    """Weighed over the years that a code at position 10 can mean."""
    found = [
        rate(table, cell) if of_year is None else of_year
        for year in vin.years_of(code, cell)
        for of_year in [rate_of_year(table, cell, year)]
    ]
    return found[0] * 0.3 + found[-1] * 0.7 if found else rate(table, cell)


def probability(table, number, known):
    """The prior of one number, spelled out; `known` keeps what was spelled out before."""
    cell = ""
    while len(cell) < numbers.DEPTH and number[: len(cell) + 1] in table["beginnings"]:
        cell = number[: len(cell) + 1]

    def at(position):
        key = cell[: position - 1], position
        if key not in known:
            over_all = table["unseen"] * row(table, "", position)
            known[key] = (1 - table["unseen"]) * row(table, *key) + over_all
        return known[key]

    product = 1.0
    for position in range(1, 18):
        character = INDEX[number[position - 1]]
        if position != 9:
            product *= at(position)[character]
            continue
        digit = vin.check_digit(number)
        key = cell, number[9]
        if key not in known:
            known[key] = rate_of(table, *key)
        holds = known[key]
        if number[8] == digit:
            product *= holds
        else:
            product *= (1 - holds) * at(9)[character] / (1 - at(9)[INDEX[digit]])
    return product


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=40)
def test_decoding_against_brute_force(seed):
    """Two or three characters in ten boxes, under a random prior: all numbers, one by one."""
    rng = np.random.default_rng(seed)
    # Half of the time characters with which makers begin whose position 10 tells the year.
    years = "WV2Y" if rng.random() < 0.5 else "1G3A"
    some = years if rng.random() < 0.5 else list(CHARACTERS)
    alphabet = rng.choice(list(some), 4, replace=False)
    table = random_table(rng, alphabet)
    prior = numbers.build(table)
    choices = [
        dict.fromkeys(rng.choice(alphabet, 2 if rng.random() < 0.5 else 1)) for _ in range(17)
    ]
    choices[8] = dict.fromkeys([*choices[8], *rng.choice(list(vin.CHECK_DIGITS), 2)])
    boxes = np.zeros((17, 33))
    for i, some in enumerate(choices):
        boxes[i, [INDEX[c] for c in some]] = rng.random(len(some)) + 0.05
    boxes /= boxes.sum(axis=1, keepdims=True)
    known = {}
    weights = {
        number: probability(table, number, known)
        * np.prod(boxes[np.arange(17), [INDEX[c] for c in number]])
        for number in map("".join, itertools.product(*choices))
    }
    total = sum(weights.values())
    with np.errstate(divide="ignore"):
        found = decoding.decode(prior, np.log(boxes))
    assert weights[found.vin] == pytest.approx(max(weights.values()), rel=1e-9)
    assert found.confidence == pytest.approx(weights[found.vin] / total, abs=2e-6)
    for position, alternatives in enumerate(found.alternatives):
        for character, share in alternatives:
            weight = sum(w for n, w in weights.items() if n[position] == character)
            assert share == pytest.approx(weight / total, abs=2e-6)


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_the_prior_is_what_the_table_says_and_sums_to_one(seed):
    rng = np.random.default_rng(seed)
    alphabet = rng.choice(list("WVG2YA" if rng.random() < 0.5 else CHARACTERS), 5, replace=False)
    table = random_table(rng, alphabet)
    prior = numbers.build(table)
    made = ["".join(rng.choice(alphabet, 17)) for _ in range(20)]
    made += [n[:8] + vin.check_digit(n) + n[9:] for n in made]
    indices = np.array([[INDEX[c] for c in number] for number in made])
    parts = prior.log_probabilities(indices)
    expected = [np.log(probability(table, number, {})) for number in made]
    np.testing.assert_allclose(parts.sum(axis=1), expected)
    # Empty boxes: the posterior is the prior, and its first characters are as the table says.
    _, _, marginals = decoding.posterior(prior, np.full((1, 17, 33), 1 / 33))
    np.testing.assert_allclose(marginals.sum(axis=2), 1, atol=1e-5)
    expected = row(table, "", 1)
    np.testing.assert_allclose(marginals[0, 0], expected, atol=1e-5)


@pytest.mark.parametrize("number", [*VALID, *OTHERS, "XTA21S930Y2712345"])
@pytest.mark.parametrize("rules", ["auto", "none"])
def test_clear_readings_stay_as_they_are(released, number, rules):
    found = decoding.decode(released, reading(number, sure=0.9999), rules)
    assert found.vin == found.raw == number
    assert found.changed == ()
    assert found.confidence > 0.95


@pytest.mark.parametrize(
    "number, position, misread, rule",
    [
        (NUMBER, 15, "T", "the last four are digits"),
        (NUMBER, 10, "0", "model year"),
        (NUMBER, 9, "K", "check digit"),
        (NUMBER, 5, "0", "check digit"),
        ("WVWZZZ1JZ3W386752", 6, "2", "usual form"),
        ("XTA210930Y2712345", 6, "D", "usual form"),
        ("WVWZZZ1JZ3W386752", 2, "Y", "maker's code"),
    ],
)
def test_rules_correct_a_misread_box_and_say_which(released, number, position, misread, rule):
    log_probabilities = reading(number, [(position, misread, 0.6)])
    found = decoding.decode(released, log_probabilities)
    right = number[position - 1]
    assert found.vin == number
    assert found.raw == number[: position - 1] + misread + number[position:]
    assert found.changed == (decoding.Change(position, misread, right, rule),)
    assert str(found.changed[0]) == f"box {position}: {misread} -> {right} ({rule})"
    assert found.alternatives[position - 1][0][0] == right
    plain = decoding.decode(released, log_probabilities, rules="none")
    assert plain.vin == plain.raw == found.raw
    assert plain.changed == ()


def test_what_does_not_fit_gets_a_low_confidence(released):
    assert decoding.decode(released, reading("1M8GDM9A1KP042788")).confidence < 0.5


def test_an_unreadable_box_is_found_by_the_check_digit(released):
    log_probabilities = reading(NUMBER, sure=0.9999)
    log_probabilities[15] = 0
    found = decoding.decode(released, log_probabilities)
    assert found.vin == NUMBER
    assert [change.position for change in found.changed] == [16]


@pytest.mark.parametrize(
    "number, kind",
    [
        ("1G4AH59H45G118341", "check digit"),
        ("WVWZZZ1JZ3W386752", "known maker"),
        ("RZ912345612345678", "none"),
    ],
)
def test_what_vouches_for_a_number(released, number, kind):
    assert decoding.decode(released, reading(number, sure=0.9999)).evidence == kind


def test_blank_cards_are_read_without_confidence(released):
    found = decoding.decode(released, np.zeros((17, 33)))
    assert found.confidence < 1e-6
    assert all(share <= 1 for box in found.alternatives for _, share in box)
    assert all(c in DIGITS for box in found.alternatives[13:] for c, _ in box)


@pytest.mark.parametrize("rules", ["auto", "none"])
def test_an_empty_box_stays_empty_and_speaks_for_nothing(released, rules):
    """What fits best into it would mend the check digit whatever is in the others."""
    logs = reading(NUMBER, [(5, "0", 0.6)], sure=0.9999)
    logs[15] = 0
    empty = np.arange(17)[None] == 15
    (found,) = decoding.decode_batch(released, logs[None], rules, empty)
    assert found.vin[15] == found.raw[15] == "-"
    assert found.confidence == 0 and found.evidence == "none"
    assert found.alternatives[15] == () and len(found.alternatives[4]) == 5
    assert 16 not in [change.position for change in found.changed]
    assert "check digit" not in [change.rule for change in found.changed]
    for position in set(range(17)) - {15}:
        assert found.vin[position] == found.alternatives[position][0][0]


@pytest.mark.parametrize(
    "number, years, others",
    [
        # Audi's European numbers have Z at position 9 until 2001, the check digit after.
        ("WAUZZZ4AZNN000000", (1975, 2001), (2002, 2025)),
        ("WAUZZZF22NN000000", (2002, 2025), (1975, 2001)),
    ],
)
def test_an_unclear_z_or_2_of_an_audi_is_read_as_in_its_years(statistics, number, years, others):
    """Made-up numbers whose check digit is 2: an Audi of 1992 and one of 2022."""
    serial = next(
        f"{n:06}" for n in range(999999) if vin.check_digit(number[:11] + f"{n:06}") == "2"
    )
    number = number[:11] + serial
    other = number[:8] + ("2" if number[8] == "Z" else "Z") + number[9:]
    logs = reading(number, [(9, other[8], 0.5)], sure=0.9999)
    found = decoding.decode(numbers.build(statistics, years), logs)
    assert found.vin == number and found.confidence > 0.9
    assert decoding.decode(numbers.build(statistics, others), logs).vin == other
    assert decoding.decode(numbers.build(statistics), logs).confidence < 0.9  # of either year


def test_a_makers_habit_that_is_added_by_hand_holds_at_once(released, statistics, monkeypatch):
    """A maker of whom nothing is known but that its numbers have the check digit."""
    assert "VAG" not in released.prefixes
    number = "VAGGA36A0NH123456"
    number = number[:8] + vin.check_digit(number) + number[9:]
    logs = reading(number, [(15, "1", 0.9)], sure=0.9999)
    monkeypatch.setattr(numbers, "CHECK_HABITS", (("VAG", 1980, 2039, 0.99),))
    found = decoding.decode(numbers.build(statistics), logs)
    assert found.vin == number and found.evidence == "check digit"
    before = decoding.decode(released, logs)
    assert before.evidence == "none" and before.confidence < found.confidence


def test_years_that_are_not_possible_are_ruled_out_but_for_what_is_clear(released, statistics):
    prior = numbers.build(statistics, (1975, 2001))
    number = "WVWZZZ1JZSW386752"  # S is 1995 or 2025, 5 is 2005
    unclear = reading(number, [(10, "5", 0.9)], sure=0.9999)
    assert decoding.decode(released, unclear).vin[9] == "5"
    assert decoding.decode(prior, unclear).vin[9] == "S"
    clear = decoding.decode(prior, reading(number.replace("ZS", "Z5"), sure=0.99999))
    assert clear.vin[9] == "5"


@pytest.mark.parametrize(
    ("log_probabilities", "rules"),
    [
        (np.zeros((16, 33)), "auto"),
        (np.zeros((17, 32)), "auto"),
        (np.full((17, 33), np.nan), "auto"),
        (np.full((17, 33), -np.inf), "auto"),
        (np.zeros((17, 33)), "some"),
    ],
)
def test_bad_input_is_refused(released, log_probabilities, rules):
    with pytest.raises(ValueError):
        decoding.decode(released, log_probabilities, rules)


def test_no_cards_are_no_decodings(released):
    assert decoding.decode_batch(released, np.zeros((0, 17, 33))) == []


def test_cards_are_decoded_for_themselves_in_whatever_company(released, monkeypatch):
    """More cards than are decoded at once; none is left out, moved, or read with another."""
    rng = np.random.default_rng(0)
    vins = simulate.drawn(released, 50, rng)
    cards = np.stack([reading(number, sure=0.9) for number in vins])
    cards += rng.normal(0, 0.5, cards.shape)
    together = decoding.decode_batch(released, cards)
    monkeypatch.setattr(decoding, "BLOCK", 7)
    alone = [decoding.decode(released, card) for card in cards]
    for apart in (decoding.decode_batch(released, cards), alone):
        for one, other in zip(together, apart, strict=True):
            assert (one.vin, one.changed) == (other.vin, other.changed)
            assert one.confidence == pytest.approx(other.confidence, abs=1e-5)
