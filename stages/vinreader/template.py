"""The page on which a person checks readings, without its cards: the parts in `page/` as one file.

Apart from the cards (`review.py`), so that the station, which serves it, need not load what reads
images. Nothing from a card becomes markup: the JSON cannot end its script element, and the page
only sets text.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

from vinreader.number import vin
from vinreader.number.makers import LIGHT, MODEL_YEAR_MAKERS
from vinreader.spec import CHARACTERS
from vinreader.tables import VinRow

PICTURE = "data:image/png;base64,"  # what the images of boxes on the page begin with
UNSURE = 0.95  # confidence under which the page says that an image alone is not clear
_PACKAGE = resources.files("vinreader")
PAGE = _PACKAGE / "page"
LANGUAGES = ("en", "uk")
_SCRIPTS = (
    *("basics", "texts", "numbers", "typing", "events", "kept", "table", "disk", "station"),
    *("list", "card", "mosaic", "lead", "main"),
)


@cache
def texts(language: str) -> dict[str, Any]:
    """All that the page and the station say in one of `LANGUAGES`."""
    found: dict[str, Any] = json.loads((_PACKAGE / "texts" / f"{language}.json").read_text("utf-8"))
    return found


class Entry(NamedTuple):
    """A card as it stands in the page: `json`, an object in one line without its last brace, the
    images last in it."""

    doubtful: bool
    json: str


def served_page(more: Mapping[str, object]) -> str:
    """The page without cards, which it asks of the station that serves it.

    more: settings besides `settings`: `served` (True), `cards` and `doubtful` (how many), `key`.
    """
    return b"".join(template({**settings("", {}), **more})).decode()


def settings(key: str, notes: Mapping[int, str]) -> dict[str, object]:
    """What the page needs to know beside the cards. key: tells this page's decisions from others'.

    notes: added to messages, by the cards' places in vins.csv.
    """
    return {
        "key": key,
        "notes": notes,
        "columns": VinRow._fields,
        "characters": CHARACTERS,
        "values": vin.VALUES,
        "weights": vin.WEIGHTS,
        "required": vin.CHECK_DIGIT_REQUIRED,
        "years": vin.MODEL_YEARS,
        "yearMakers": MODEL_YEAR_MAKERS,
        "light": sorted(LIGHT),
        "makers": vin.makers(),
        "regions": vin.regions(),
        "unsure": UNSURE,
    }


def template(values: Mapping[str, object]) -> tuple[bytes, bytes, bytes]:
    """The page before its first cards, between them and the others, and after all of them."""
    read = {path.name: path.read_text("utf-8") for path in PAGE.iterdir()}
    parts = {
        "connect": "; connect-src 'self'" if values.get("served") else "",
        "style": read["page.css"].rstrip(),
        "texts": json_text({language: texts(language) for language in LANGUAGES}),
        "settings": json_text(values),
        "script": "\n".join(read[f"{name}.js"] for name in _SCRIPTS).rstrip(),
    }
    pieces = [  # only the template is searched, never what is put into it
        re.sub(r"{{(\w+)}}", lambda found: parts[found[1]], piece).encode()
        for piece in re.split("{{(?:cards|more)}}", read["page.html"])
    ]
    head, between, tail = pieces
    return head, between, tail


def json_text(content: object) -> str:
    """JSON that may stand in a script element: no <, and so no </script> and no comment."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c")
