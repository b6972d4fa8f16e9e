"""What a vehicle identification number tells: the facts of ISO 3779.

Sources: ISO 3779:2009 (structure; the last four characters are digits), 49 CFR 565.15 and
GB 16735 (check digit and model-year code required in North America and China). Other makers have
a check digit by habit, or none: how often, the statistics know (`numbers.py`).
"""

from functools import cache
from types import ModuleType

from vinreader.number.makers import MODEL_YEAR_MAKERS, NAMES
from vinreader.spec import BOXES, CHARACTERS, DIGITS

CHECK_POSITION, YEAR_POSITION = 9, 10
WEIGHTS = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
# Runs of characters whose values in the check sum go up by one, with the value of the first.
_RUNS = (("0123456789", 0), ("ABCDEFGHI", 1), ("JKLMNOPQR", 1), ("STUVWXYZ", 2))
VALUES = {c: value for run, first in _RUNS for value, c in enumerate(run, first) if c in CHARACTERS}
CHECK_DIGITS = "0123456789X"  # by remainder
CHECK_DIGIT_REQUIRED = "12345L"  # first characters: North America, China
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
    """True where the law requires a check digit: North America (1-5) and China (L)."""
    return vin[0] in CHECK_DIGIT_REQUIRED


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
    """The makers that vininfo lists, some corrected, by the first three or two characters."""
    listed = _vininfo().WMI.items()
    return {code: getattr(maker, "manufacturer", maker) for code, maker in listed} | NAMES


def region(vin: str) -> str:
    """The world region of the first character, else ''."""
    return regions().get(vin[0], "")


def country(vin: str) -> str:
    """The country that the first two characters are assigned to, else ''."""
    return _countries().get(vin[:2], "")


@cache
def _countries() -> dict[str, str]:
    return dict(_vininfo().COUNTRIES)


def manufacturer(vin: str) -> str:
    """The maker listed for the first three characters, or else the first two, else ''."""
    return makers().get(vin[:3]) or makers().get(vin[:2]) or ""


def model_year(vin: str) -> str:
    """The model year ('2004'), both years that a code can mean ('1985 or 2015'), or ''.

    A letter at position 7 says that a North American car was built after 2009 (49 CFR 565.15).
    """
    known = check_digit_required(vin) or vin[:3] in MODEL_YEAR_MAKERS
    if not known or vin[9] not in MODEL_YEARS:
        return ""
    year = 1980 + MODEL_YEARS.index(vin[9])
    if vin[9] in DIGITS:
        return str(year)
    if vin[0] in "12345":
        return str(year if vin[6] in DIGITS else year + 30)
    return f"{year} or {year + 30}"


@cache
def _vininfo() -> ModuleType:
    """vininfo's tables, loaded when a number is first looked up (its import takes 50 ms)."""
    from vininfo import dicts

    tables: ModuleType = dicts
    return tables
