import itertools
from datetime import date

import pytest

from vinreader.number import vin

VALID = ("1G4AH59H45G118341", "1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715")
EUROPEAN = "WVWZZZ1JZ3W386752"


@pytest.mark.parametrize(
    ("number", "status"),
    [
        *((number, "ok") for number in VALID),
        ("1M8GDM9A0KP042788", "wrong"),
        (EUROPEAN, "not required"),
        ("WVW-ZZ1JZ3W38675-", ""),
    ],
)
def test_a_number_is_told_whether_it_holds_its_check_digit(number, status):
    assert vin.check_digit_status(number) == status


@pytest.mark.parametrize("number", ["", "1M8", "1M8GDM9AXKP04278O", "1m8gdm9axkp042788"])
def test_check_digit_refuses_what_is_no_number(number):
    with pytest.raises(ValueError, match="17 characters"):
        vin.check_digit(number)


@pytest.mark.parametrize(
    "number, region, maker, year",
    [
        ("1G4AH59H45G118341", "North America", "Buick", "2005"),
        ("1M8GDM9AXKP042788", "North America", "Motor Coach Industries", "1989 or 2019"),
        ("XTA210930Y2712345", "Europe", "AvtoVAZ", "2000"),
        (EUROPEAN, "Europe", "Volkswagen", "2003"),
        ("WBAVA31060NL12345", "Europe", "BMW", ""),
        ("0B" + "0" * 15, "", "", ""),
    ],
)
def test_what_a_number_tells(number, region, maker, year):
    told = vin.region(number), vin.manufacturer(number), vin.model_year(number)
    assert told == (region, maker, year)


# Made up: only the characters that decide are those of real numbers.
def made(code, seventh="0", year="A"):
    return code + "000" + seventh + "00" + year + "0000000"


@pytest.mark.parametrize("code", ["1M1", "1XK", "1XP", "1HD", "1FU", "1FD", "LFV", "TMB"])
def test_a_year_that_position_7_does_not_decide_is_both_of_the_possible(code):
    """49 CFR 565.15 (table VII and its note): the rule is one for light vehicles."""
    assert vin.model_year(made(code, "1", "C")) == vin.model_year(made(code, "A", "C"))
    assert vin.model_year(made(code, "1", "C")) == "1982 or 2012"


def test_a_year_of_a_light_vehicle_is_told_by_position_7():
    assert vin.model_year(made("1G1", "1", "C")) == "1982"
    assert vin.model_year(made("1G1", "A", "C")) == "2012"


def test_no_year_is_in_the_future_whatever_position_7_says():
    next_year = date.today().year + 1
    for code, seventh, year in itertools.product(("1FU", "1G1", "WVW"), "1A", vin.MODEL_YEARS):
        told = vin.model_year(made(code, seventh, year)).split(" or ")
        assert told and all(1980 <= int(one) <= next_year for one in told)
    assert vin.model_year(made("1FU", "A", "Y")) == "2000"


def test_years_that_are_possible_settle_which_of_two_is_meant():
    number = made("WVW", "1", "N")
    assert vin.model_year(number) == "1992 or 2022"
    assert vin.model_year(number, (1975, 2001)) == "1992"
    assert vin.model_year(number, (2002, 2025)) == "2022"
    assert vin.model_year(number, (1993, 2001)) == ""


@pytest.mark.parametrize(
    "code, maker",
    [
        *[("Z94", "Hyundai"), ("Z8N", "Nissan"), ("Z8T", "PSMA Rus"), ("Z8U", "Sollers Far East")],
        *[("Y6L", "Bogdan"), ("Y6U", "Škoda"), ("KMH", "Hyundai"), ("XWE", "Avtotor")],
        # Another maker's first two characters, or no name at all, but never that maker's:
        *[("1HT", "International"), ("1BA", "Blue Bird"), ("1JJ", "Wabash"), ("1GR", "Great Dane")],
        *[("1NK", "Kenworth"), ("1NP", "Peterbilt"), ("3AK", "Freightliner")],
        ("JMB", "Mitsubishi"),
        *[("1HZ", ""), ("1BZ", ""), ("1NZ", ""), ("3AZ", "")],
        # A small maker, which positions 12 to 14 tell:
        *[("WV9", ""), ("1F9", ""), ("SA9", ""), ("X89", "")],
    ],
)
def test_a_code_has_its_own_makers_name_or_none(code, maker):
    """Sources: `makers.py`."""
    assert vin.manufacturer(made(code)) == maker


@pytest.mark.parametrize("code", ["7SA", "7FC", "7MU", "HXM", "LFV", "1G1", "5YJ"])
def test_the_check_digit_is_required_in_all_of_north_america_and_china(code):
    """ISO 3780's areas 7F to 70 are the United States, H is China (as vininfo's tables have it)."""
    assert vin.check_digit_required(made(code))
    assert vin.region(made(code)) == ("Asia" if code[0] in "HL" else "North America")
    assert vin.country(made(code)) in ("United States", "China")
    assert not vin.check_digit_required(made("7A8"))  # New Zealand


def test_of_a_number_with_an_empty_box_nothing_is_decided():
    assert vin.model_year("WVW-ZZ1JZ3W38675-") == "2003" and vin.model_year("-" * 17) == ""
    assert vin.region("-" * 17) == vin.manufacturer("-" * 17) == ""
