"""Not a stage: makes the exported model the released one, which clerks read with.

Refused, with the table, when the model was not trained on EMNIST, or when it reads a test set of
data/split, or the archive's cards kept for testing, worse than the released one, beyond chance.
`--rollback` brings the reader before back: models/released/previous/ keeps it.
"""

import argparse

from vintraining import releasing
from vintraining.console import stage

from vinreader.reader import Reader
from vinreader.spec import UserError


def exported() -> Reader:
    """The model of the last dvc repro.

    Raises: UserError where it was not trained on EMNIST.
    """
    reader = Reader(releasing.EXPORTED)
    source = reader.description["source"]
    if not source.startswith("emnist"):
        raise UserError(
            f"{releasing.EXPORTED} was trained on {source}; only a model trained on EMNIST is "
            "released. Put NIST's archive at data.archive and run dvc repro"
        )
    return reader


@stage
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rollback", action="store_true", help="bring the reader before back")
    options = parser.parse_args()
    releasing.recover()
    if options.rollback:
        releasing.rollback()
        print(f"released again: {releasing.RELEASED}, {releasing.told()}")
        return
    from vintraining.scores import gate  # takes longer to load than going back takes

    candidate = exported()
    if releasing.RELEASED.exists():
        table = gate.compare(candidate, Reader(releasing.RELEASED))
        print("\n".join(str(line) for line in table))
        if any(line.worse for line in table):
            raise UserError(f"not released: {releasing.EXPORTED} is worse than the released reader")
    releasing.release()
    print(f"released: {releasing.RELEASED}, {releasing.told()}")


if __name__ == "__main__":
    main()
