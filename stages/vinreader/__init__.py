"""Reads handwritten vehicle identification numbers from images of their boxes.

>>> from vinreader import Reader, open_pages
>>> reader = Reader()
>>> images = [open_pages(f"input/card-01/{number:02}.png")[0] for number in range(1, 18)]
>>> reading = reader.read(images[:1])[0]
>>> print(reading.status, reading.probabilities.shape)
ok (33,)
>>> card = reader.read_card(images)
>>> print(card.vin, card.check_digit, card.region, card.model_year)
1HGCP2F35BA052714 ok North America 2011
>>> all(0 <= box.confidence <= 1 for box in card.boxes)
True
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # type checkers do not see what `__getattr__` gives
    from vinreader.image.fields import FieldNotFound as FieldNotFound
    from vinreader.image.fields import find_boxes as find_boxes
    from vinreader.image.pages import UnreadableImage as UnreadableImage
    from vinreader.image.pages import open_pages as open_pages
    from vinreader.reader import CardReading as CardReading
    from vinreader.reader import Reader as Reader
    from vinreader.reader import Reading as Reading
    from vinreader.spec import ModelError as ModelError

_PLACES = {
    "CardReading": "reader",
    "FieldNotFound": "image.fields",
    "ModelError": "spec",
    "Reader": "reader",
    "Reading": "reader",
    "UnreadableImage": "image.pages",
    "find_boxes": "image.fields",
    "open_pages": "image.pages",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> object:
    """Imports what is asked for, when it is asked for: a program that only needs the rules of a
    number (`vinreader.number.vin`) does not wait for OpenCV."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"vinreader.{_PLACES[name]}"), name)
