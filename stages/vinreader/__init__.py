"""Reads handwritten vehicle identification numbers from images of their boxes."""

from vinreader.boxes import UnreadableImage
from vinreader.console import ModelError
from vinreader.reader import Reader, Reading

__all__ = ["ModelError", "Reader", "Reading", "UnreadableImage"]
