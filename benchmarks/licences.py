"""The licences of all packages that requirements.txt pins, as a table for docs/licences.md.

    python benchmarks/licences.py > docs/licences.md

from what the installed packages say of themselves.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parents[1] / "requirements.txt"


def pinned() -> list[str]:
    return re.findall(r"^([\w.-]+)==", REQUIREMENTS.read_text("utf-8"), re.MULTILINE)


def licence(name: str) -> str:
    """As the package says it: expression, classifier, or the first line of the text."""
    told = metadata(name)
    if told["License-Expression"]:
        return told["License-Expression"]
    classifiers = [
        c.rpartition(" :: ")[2]
        for c in told.get_all("Classifier") or []
        if c.startswith("License :: ") and not c.endswith("OSI Approved")
    ]
    text = (told["License"] or "").strip().splitlines()
    return ", ".join(classifiers) or (text[0] if text else "")


def main() -> None:
    print("# Licences\n\nOf the packages in `requirements.txt`, as they say themselves. Made by")
    print("`python benchmarks/licences.py > docs/licences.md`.\n\n| package | licence |\n|---|---|")
    silent = []
    for name in pinned():
        try:
            text = licence(name)
        except PackageNotFoundError:  # for another system or another Python
            print(f"| {name} | not installed here |")
            continue
        print(f"| {name} | {text.replace('|', '/') or 'says nothing'} |")
        silent += [] if text else [name]
    if silent:
        print(f"no licence told by {', '.join(silent)}", file=sys.stderr)


if __name__ == "__main__":
    main()
