"""Where a reading comes from: the model's data, parameters, code and libraries, from its .json."""

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from vinreader.files import sha256, write_json
from vinreader.reader import Reader

# What reads with the model; another version may round otherwise.
LIBRARIES = ("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "vininfo")


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of Python and of libraries, by default those that read here."""
    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another build of it, such as opencv-python
            found[name] = "unknown"
    return found


def tell(reader: Reader) -> str:
    """What `predict.py --version` prints."""
    card = reader.card
    data = card.get("data", {})
    lines = [
        ("model", reader.path),
        ("sha256", card["sha256"]),
        ("fingerprint", f"{card['fingerprint']} (of data, parameters and code)"),
        ("data", f"{card['source']}, from {data.get('from', 'unknown')}"),
        *(("", f"{digest} {name}") for name, digest in data.get("sha256", {}).items()),
        ("parameters", json.dumps(card.get("parameters", {}))),
        ("code", f"{len(card.get('code', {}))} files, SHA-256 of each in {reader.card_path}"),
        ("made with", _list(card.get("versions", {}))),
        ("reads with", _list(versions())),
    ]
    return "\n".join(f"{name:12} {text}" for name, text in lines)


def _list(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def write_record(reader: Reader, rules: str, tables: list[Path]) -> None:
    """The record beside a table, `<table>.json`: which model made its rows, and how.

    Args:
        tables: the first one gives the record its name. The SHA-256 of each is in it, so a table
            that was changed afterwards, or made by another run, does not match its record.
    """
    write_json(
        tables[0].with_name(f"{tables[0].name}.json"),
        {
            "model": {
                "path": str(reader.path),
                **{key: reader.card[key] for key in ("sha256", "fingerprint", "source")},
            },
            "threshold": reader.threshold,
            "vin_review_threshold": reader.card["vin_review_threshold"],
            "rules": rules,
            "versions": versions(),
            "tables": {table.name: sha256(table) for table in tables},
        },
    )
