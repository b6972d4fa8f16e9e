"""Stage: the labelled folders that `finetune` divides, each known by the SHA-256 of what it holds.

Batches of checked cards lie beside them in data/labelled, and `adapt` learns from these. A new
batch leaves data/labelled.json as it is, so that nothing before `adapt` runs again for it.
"""

import hashlib
from pathlib import Path

from vintraining.console import stage
from vintraining.hands import labelled

from vinreader.files import sha256, write_json

LISTED = Path("data/labelled.json")


def digest(folder: Path) -> str:
    """SHA-256 of a folder's labels.csv and of the images it names.

    Raises: DataError where there are other rows than `labelled.read_rows` takes.
    """
    found = hashlib.sha256((folder / "labels.csv").read_bytes())
    for row in labelled.read_rows(folder):
        found.update(bytes.fromhex(sha256(row.path)))
    return found.hexdigest()


@stage
def main() -> None:
    folders = labelled.folders(labelled.FOLDER)
    write_json(LISTED, {folder.name: digest(folder) for folder in folders})
    print(f"{LISTED}: {', '.join(folder.name for folder in folders) or 'no folder'}")


if __name__ == "__main__":
    main()
