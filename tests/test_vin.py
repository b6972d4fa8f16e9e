import pytest
from hypothesis import given
from hypothesis import strategies as st

from vinreader.number import vin
from vinreader.spec import CHARACTERS

VALID = ("1G4AH59H45G118341", "1M8GDM9AXKP042788", "11111111111111111", "5GZCZ43D13S812715")
EUROPEAN = "WVWZZZ1JZ3W386752"

characters = st.sampled_from(CHARACTERS)
numbers = st.text(CHARACTERS, min_size=17, max_size=17)


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
