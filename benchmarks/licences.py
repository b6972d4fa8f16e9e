"""The licences of all packages that requirements.txt pins, as a table for docs/licences.md.

    python benchmarks/licences.py

prints a row a licence, from what the installed packages say of themselves.
"""

import re
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, metadata

from project import PROJECT

ALIKE = {  # what packages call the same licence
    "Apache-2.0": r"Apache(-2\.0| License 2\.0| Software License)",
    "MIT": r"MIT( License)?",
    "BSD": r"(3-Clause )?BSD( License|-[23]-Clause)?",
    "MPL-2.0": r"MPL-2\.0|Mozilla.*",
    "PSF-2.0": r"PSF.*|Python Software Foundation.*",
    "GPL-2.0": r"GNU General Public License v2.*",
}


def licence(name: str) -> str:
    """As the package says it: expression, classifier, or the first line of the text."""
    try:
        told = metadata(name)
    except PackageNotFoundError:
        return "not installed here (another system or another Python)"
    classifiers = [
        c.rpartition(" :: ")[2]
        for c in told.get_all("Classifier") or []
        if c.startswith("License :: ") and not c.endswith("OSI Approved")
    ]
    text = (told["License"] or "").strip().partition("\n")[0]
    found = told["License-Expression"] or ", ".join(classifiers) or text or "says nothing"
    return next((n for n, alike in ALIKE.items() if re.fullmatch(alike, found)), found)


def main() -> None:
    text = (PROJECT / "requirements.txt").read_text("utf-8")
    packages: dict[str, list[str]] = defaultdict(list)
    for name in sorted(set(re.findall(r"^([\w.-]+)==", text, re.MULTILINE))):
        packages[licence(name)].append(name)
    print("| licence | packages |\n|---|---|")
    for name, of in sorted(packages.items(), key=lambda found: -len(found[1])):
        print(f"| {name.replace('|', '/')} | {', '.join(of)} |")


if __name__ == "__main__":
    main()
