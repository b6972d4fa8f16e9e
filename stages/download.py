"""Stage 1: EMNIST's members of one split, or embedded handwriting.

data/raw/ then holds the four .gz members and the mapping, or the handwriting as arrays, and
source.json, which says what was used.
"""

import sys
from pathlib import Path

from vintraining.console import stage
from vintraining.data import archive, dataset, emnist, handwriting
from vintraining.parameters import Data, load

from vinreader.files import save_array, sha256, write_json

RAW = Path("data/raw")
ROUTE = Path("data/route.json")  # by which the data came: no output, for the data is the same
# No output of the stage: DVC deletes those before a run, and a partial download is worth keeping.
DOWNLOADS = Path("data/emnist")
SHEET = Path("metrics/handwriting.png")


def choose_source(data: Data) -> str:
    """What `data.source` means here: `local`, `nist` or `embedded`."""
    if data.source == "embedded":
        return "embedded"
    if Path(data.archive).exists():
        return "local"
    if data.source == "emnist" or archive.answers(data.urls):
        return "nist"
    print(
        f"WARNING: no EMNIST: {data.archive} does not exist and NIST does not answer.\n"
        "WARNING: using the embedded handwriting instead; its figures are not EMNIST's.\n"
        f"WARNING: once {data.archive} is there: dvc repro --force download, then dvc repro",
        file=sys.stderr,
    )
    return "embedded"


def write_embedded(data: Data, seed: int) -> list[str]:
    """Embedded handwriting, and <part>-writers.npy, int32 (N,), with which `split` keeps writers
    apart, too; those of the two parts differ. Gives the names of the files."""
    writers = data.embedded_writers
    sizes = {"train": data.embedded_per_class, "test": max(1, data.embedded_per_class // 5)}
    for part, first in (("train", 0), ("test", writers)):
        images, labels, written_by = handwriting.write(
            per_class=sizes[part], writers=writers, seed=seed, first_writer=first
        )
        dataset.save(RAW, part, dataset.Characters(images, labels))
        save_array(RAW / f"{part}-writers.npy", written_by)
    return [f"{part}-{kind}.npy" for part in sizes for kind in ("images", "labels", "writers")]


@stage
def main() -> None:
    parameters = load()
    data = parameters.data
    RAW.mkdir(parents=True, exist_ok=True)
    chosen = choose_source(data)
    names = emnist.members(data.split)
    if chosen == "embedded":
        names = write_embedded(data, parameters.seed)
        route = "vintraining.data.handwriting"
    elif chosen == "nist":
        route = archive.fetch(data.urls, data.split, DOWNLOADS, RAW, data.require_official)
    else:
        route = f"local {archive.copy_local(Path(data.archive), data.split, RAW)}"
    source = "embedded" if chosen == "embedded" else "emnist"
    hashes = {name: sha256(RAW / name) for name in names}
    official = all(emnist.OFFICIAL_SHA256.get(name) == digest for name, digest in hashes.items())
    name = f"{source} {data.split}"
    if source == "emnist" and not official:
        name += " (unofficial: re-split of real EMNIST images)"
    made = {"name": name, "source": source, "split": data.split}
    write_json(RAW / "source.json", made | {"official": official, "sha256": hashes})
    write_json(ROUTE, {"requested": data.source, "from": route, "data": name})
    handwriting.sheet(SHEET)
    print(f"{RAW}: {name}, from {route}")


if __name__ == "__main__":
    main()
