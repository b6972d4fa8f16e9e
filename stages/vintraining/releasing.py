"""The command `release`: makes the exported model the released one, which clerks read with.

Refused when the model was not trained on EMNIST, or reads a test set worse than the released one,
beyond chance (`gate.py`), unless a person gives a reason, --despite, which its description has.

The reader is three files. The new ones are written whole beside the old ones and then take their
names, one after the other; the description names the SHA-256 of the other two, so that a release
interrupted between two names is refused by the reader. The way back is git's: `make rollback`.
"""

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from vintraining.console import stage

from vinreader.files import replacing, write_json
from vinreader.number import prior
from vinreader.reader import Reader
from vinreader.spec import UserError

EXPORTED = Path("models/vin-reader.tflite")
RELEASED = Path("models/released/vin-reader.tflite")
FILES = (prior.FILE, RELEASED.name, RELEASED.with_suffix(".json").name)


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--despite",
        metavar="REASON",
        help="release it although it reads something worse, for this reason, which is recorded",
    )
    options = parser.parse_args()
    from vintraining.scores import gate  # takes long to load

    candidate, objections = exported(), list[str]()
    if RELEASED.exists():
        table = gate.compare(candidate, Reader(RELEASED))
        print("\n".join(str(line) for line in table))
        objections = gate.objections(table)
        if objections and not options.despite:
            raise UserError("\n  ".join((f"not released: {EXPORTED}", *objections)))
    if not objections:
        release()
    else:
        despite = {"reason": options.despite, "objections": objections}
        release(candidate.description | {"released_despite": despite})
        print("\n  ".join((f"released although, for {options.despite!r}", *objections)))
    made = candidate.description
    print(
        f"released: {RELEASED}, trained on {made['source']}, fingerprint {made['fingerprint'][:12]}"
    )


def exported() -> Reader:
    """The model of the last dvc repro. Raises: UserError where it is none to be released."""
    reader = Reader(EXPORTED)
    source = reader.description["source"]
    if not source.startswith("emnist"):
        raise UserError(
            f"{EXPORTED} was trained on {source}; only a model trained on EMNIST is released. Put "
            "NIST's archive at data.archive and run dvc repro"
        )
    if missing := reader.description.get("missing"):
        raise UserError(
            f"{EXPORTED} was trained without {', '.join(missing)}, which finetune.labelled names; "
            "put the folders into data/labelled, or take them out of params.yaml, and run dvc repro"
        )
    return reader


def release(description: dict[str, Any] | None = None) -> None:
    """Releases the exported model, with its own description or another. Raises: OSError; the old
    reader stays."""
    with ExitStack() as stack:
        for name in FILES:
            temporary = stack.enter_context(replacing(RELEASED.with_name(name)))
            shutil.copyfile(EXPORTED.with_name(name), temporary)
        if description:  # the last of the files
            write_json(temporary, description)
