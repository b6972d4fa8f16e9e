"""What a vehicle identification number tells: the facts of ISO 3779.

Sources: ISO 3779:2009 (structure; the last four characters are digits), 49 CFR 565.15 and
GB 16735 (check digit and model-year code required in North America and China). Other makers have
a check digit by habit, or none: how often, the statistics know (`numbers.py`).
"""

from datetime import date
from functools import cache
from types import ModuleType

from vinreader.number.makers import FAMILIES, LIGHT, MODEL_YEAR_MAKERS, NAMES
from vinreader.spec import BOXES, CHARACTERS, DIGITS

CHECK_POSITION, YEAR_POSITION = 9, 10
WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
# Runs of characters whose values in the check sum go up by one, with the value of the first.
_RUNS = (("0123456789", 0), ("ABCDEFGHI", 1), ("JKLMNOPQR", 1), ("STUVWXYZ", 2))
VALUES = {c: value for run, first in _RUNS for value, c in enumerate(run, first) if c in CHARACTERS}
CHECK_DIGITS = "0123456789X"  # by remainder
# First characters: the United States, Canada and Mexico; China. In vininfo's tables of countries 7
# is the United States beside New Zealand (7A to 7E), and H is China beside L.
CHECK_DIGIT_REQUIRED = "123457HL"
_NEW_ZEALAND = ("7A", "7B", "7C", "7D", "7E")
Years = tuple[int, int]  # the first and the last model year
MODEL_YEARS = "ABCDEFGHJKLMNPRSTVWXY123456789"  # 1980 to 2009, and again 2010 to 2039


def is_number(text: str) -> bool:
    """Whether a text is 17 characters of the alphabet: all that can be accepted as a number."""
    return len(text) == BOXES and set(text) <= set(CHARACTERS)


def check_digit(vin: str) -> str:
    """The check digit (0-9 or X) that belongs to a number of 17 characters; its 9th is ignored.

    Raises ValueError if `vin` is not 17 characters of the alphabet.
    """
    if not is_number(vin):
        raise ValueError(f"not 17 characters of a vehicle identification number: {vin!r}")
    check_sum = sum(VALUES[c] * weight for c, weight in zip(vin, WEIGHTS, strict=True))
    return CHECK_DIGITS[check_sum % 11]


def check_digit_required(vin: str) -> bool:
    """True where the law requires a check digit: North America (1-5, 7F-70) and China (H, L)."""
    return vin[0] in CHECK_DIGIT_REQUIRED and not vin.startswith(_NEW_ZEALAND)


def check_digit_status(vin: str) -> str:
    """'ok' (it holds), 'wrong' (required, does not hold) or 'not required' (nor does it hold); ''
    of what is no number: where a character is missing, nothing is decided."""
    if not is_number(vin):
        return ""
    if check_digit(vin) == vin[CHECK_POSITION - 1]:
        return "ok"
    return "wrong" if check_digit_required(vin) else "not required"


@cache
def regions() -> dict[str, str]:
    """The world regions ('Europe', 'North America', ...) by first character."""
    return {first: name for firsts, name in _vininfo().REGIONS.items() for first in firsts}


@cache
def makers() -> dict[str, str]:
    """The makers that vininfo lists, some corrected, by the first three characters, and by the
    first two where only one maker's codes begin with them."""
    listed = {code: getattr(maker, "manufacturer", maker) for code, maker in _vininfo().WMI.items()}
    return {code: listed[code] for code in listed if len(code) > 2 or code in FAMILIES} | NAMES


def region(vin: str) -> str:
    """The world region of the first character, else ''; H is China."""
    return regions().get("L" if vin[:1] == "H" else vin[:1], "")


def country(vin: str) -> str:
    """The country that the first two characters are assigned to, else ''."""
    name: str = _vininfo().COUNTRIES.get(vin[:2], "")
    return name


def manufacturer(vin: str) -> str:
    """The maker listed for the first three characters, or else the first two, else ''.

    A 9 in the third place is shared by makers of fewer than 1,000 vehicles a year, told apart by
    positions 12 to 14 (ISO 3780): there is no name for it.
    """
    if vin[2:3] == "9":
        return ""
    return makers().get(vin[:3]) or makers().get(vin[:2]) or ""


def year_coded(prefix: str) -> bool:
    """Whether numbers that begin so, with three characters or more, have the model year's code at
    position 10."""
    return len(prefix) >= 3 and (check_digit_required(prefix) or prefix[:3] in MODEL_YEAR_MAKERS)


def years_by_code(prefix: str, years: Years | None = None) -> dict[str, list[int]]:
    """The model years that each code at position 10 can mean in a number that begins so.

    Args:
        prefix: at least the first three characters. Position 7, where it is among them, decides in
            a light vehicle of North America: a letter from 2010 on, a digit before (49 CFR 565.15).
        years: the first and the last that are possible; none after the next one when not given.
    """
    if not year_coded(prefix):
        return {}
    light = prefix[:3] in LIGHT and len(prefix) >= 7
    since = prefix[6] not in DIGITS if light else None
    return _years_by_code(since, *(years or (0, date.today().year + 1)))


@cache
def _years_by_code(since: bool | None, first: int, last: int) -> dict[str, list[int]]:
    """since: whether the year is 2010 or later; None where that is not known."""
    found = {}
    for year, code in enumerate(MODEL_YEARS, start=1980):
        possible = [y for y in (year, year + 30) if first <= y <= last]
        found[code] = [y for y in possible if (y >= 2010) is since] or possible
    return found


def years_of(code: str, prefix: str, years: Years | None = None) -> list[int]:
    """The model years that a code at position 10 can mean; see `years_by_code`."""
    return years_by_code(prefix, years).get(code, [])


def model_year(vin: str, years: Years | None = None) -> str:
    """The model year ('2004'), both years that a code can mean ('1985 or 2015'), or ''; `years` as
    for `years_of`."""
    return " or ".join(map(str, years_of(vin[YEAR_POSITION - 1 : YEAR_POSITION], vin, years)))


@cache
def _vininfo() -> ModuleType:
    """vininfo's tables, loaded when a number is first looked up (its import takes 50 ms)."""
    from vininfo import dicts

    tables: ModuleType = dicts
    return tables
