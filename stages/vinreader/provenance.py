"""Where a reading comes from: the model's data, parameters, code and libraries, from its .json."""

import json
import platform
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from vinreader.files import sha256, write_json
from vinreader.reader import Reader

# What reads with the model; another version may round otherwise.
LIBRARIES = ("ai-edge-litert", "numpy", "opencv-python-headless", "pillow", "vininfo")


def versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Versions of Python and of libraries, by default those that read here."""
    from importlib.metadata import PackageNotFoundError, version  # slow, and wanted last

    found = {"python": platform.python_version()}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # another build of it, such as opencv-python
            found[name] = "unknown"
    return found


def origin(reader: Reader) -> str:
    """What the model was made from, and what reads here: lines for `--version`."""
    description = reader.description
    data = description.get("data", {})
    made_with, here = description.get("code", {}).get("reading"), code_digest()
    code = f"{made_with}; not as it is here: {here}"
    if made_with is None:
        code = f"the model does not tell; SHA-256 of what reads here: {here}"
    elif made_with == here:
        code = f"{here}, as it is here"
    trained_on = [
        f"{found['parts']['train'][count]:,} {what} {name}"
        for kind, count, what in (
            ("labelled", "images", "images of the labelled folder"),
            ("archive", "groups", "cards of the batch"),
        )
        for name, found in description.get(kind, {}).items()
        if "train" in found.get("parts", {})
    ]
    missing = description.get("missing", [])
    trained_on += [f"not of {name}, a labelled folder that was not there" for name in missing]
    lines = [
        ("model", reader.path),
        ("sha256", description["sha256"]),
        ("fingerprint", f"{description['fingerprint']} (of data, parameters and code)"),
        ("data", description["source"]),
        *(("", f"{digest} {name}") for name, digest in data.get("sha256", {}).items()),
        *(("and", text) for text in trained_on),
        ("parameters", json.dumps(description.get("parameters", {}))),
        ("code", code),
        ("trained in", description.get("arithmetic", "unknown arithmetic")),
        ("made with", _list(description.get("versions", {}))),
        ("reads with", _list(versions())),
    ]
    return "\n".join(f"{name:12} {text}" for name, text in lines)


def _list(found: dict[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in found.items())


def code_digest() -> str:
    """SHA-256, hexadecimal, of the code that makes a reading of an image: names and contents of its
    files, in their order; line ends do not count. A model's thresholds hold for what reads so."""
    here = Path(__file__).parent
    files = [*here.glob("image/*.py"), *here.glob("number/*.py")]
    files += [here / f"{name}.py" for name in ("litert", "reader", "spec")]
    names = sorted((path.relative_to(here).as_posix(), path) for path in files)
    digests = ((n, sha256(path.read_bytes().replace(b"\r\n", b"\n"))) for n, path in names)
    return sha256("".join(f"{name} {digest}\n" for name, digest in digests).encode())


def record_of(table: Path) -> Path:
    """Where the record of a table is."""
    return table.with_name(f"{table.name}.json")


def recorded_tables(table: Path) -> dict[str, str]:
    """The tables of the reading that wrote a table, by name with their SHA-256, as its record has
    them; none where there is no record."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return {**json.loads(record_of(table).read_text("utf-8"))["tables"]}
    return {}


def write_record(reader: Reader, rules: str, tables: list[Path], found: dict[str, Any]) -> None:
    """The record beside a table, `<table>.json`: which model made its rows, and how.

    tables: the first one gives the record its name. The SHA-256 of each is in it, so a table that
    was changed afterwards, or made by another run, does not match its record. found:
    `Summary.record`: what lay in the folder and was left aside.
    """
    made_with = reader.description.get("code", {}).get("reading")
    write_json(
        record_of(tables[0]),
        {
            "model": {
                "path": str(reader.path),
                **{key: reader.description[key] for key in ("sha256", "fingerprint", "source")},
            },
            "threshold": reader.threshold,
            "vin_review_threshold": reader.vin_threshold,
            "risk": reader.risk,
            "rules": rules,
            "years": list(reader.years) if reader.years else None,
            "versions": versions(),
            "changed_code": None if made_with is None else made_with != code_digest(),
            "found": found,
            "tables": {table.name: sha256(table) for table in tables},
        },
    )
