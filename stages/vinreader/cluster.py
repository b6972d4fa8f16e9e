"""Reading on many machines with Ray Data: its workers get paths, and keep results as Parquet.

    SHARDS/predictions/000012-<key>.parquet   the rows of predictions.csv for about 1,000 images
    SHARDS/vins/000012-<key>.parquet          the rows of vins.csv for their cards
    SHARDS/review/000012-<key>.parquet        what the review page shows of these
    SHARDS/sha256/000012-<key>.json           the SHA-256 of these files

The key follows from the images' names, sizes and times, the reader and its options, and a shard is
done when its files are there and whole. So a reading that was interrupted goes on where it stopped,
and a task that is done twice, because its worker was lost, writes the same file twice.
"""

import fnmatch
import hashlib
import io
import json
import logging
import os
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import chain, count, islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from vinreader.files import sha256, write_bytes
from vinreader.folders import Card
from vinreader.image.pages import UnreadableImage, open_pages
from vinreader.litert import notes_held
from vinreader.pipeline import Result, chunks, read_chunk
from vinreader.processes import cores
from vinreader.reader import Reader
from vinreader.spec import UserError
from vinreader.tables import Row, VinRow
from vinreader.template import Entry

PIECES = 8  # in a shard: about 1,000 images, a second's work or two
DOWNLOADS = 16  # files that a worker fetches at a time

Items = list[Card | Path]


@dataclass(frozen=True)
class Shard:
    """What one task reads; states: of each image, how it was at the start."""

    name: str
    items: Items
    states: dict[str, str]


@contextmanager
def _needed() -> Iterator[None]:
    try:
        yield
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install -r requirements-ray.txt") from None


def location(text: str) -> Path:
    """A path, or what behaves like one for a URL of a file system that fsspec knows."""
    if "://" not in text:
        return Path(text)
    with _needed():
        from upath import UPath
    try:
        return cast(Path, UPath(text))
    except (ImportError, ValueError) as error:  # a protocol whose package is not installed
        raise UserError(f"{text}: {error}") from None


def read_items(
    reader: Reader,
    items: Iterable[Card | Path],
    root: Path,
    rules: str,
    jobs: int | None,
    shards: Path,
    progress: Callable[[int, int], Any] = lambda done, shards: None,
) -> Generator[Result, None, None]:
    """Results of items as `pipeline.read_items` has them, read by Ray's workers.

    jobs: workers, by default one a core of the cluster (RAY_ADDRESS) or else of this machine.
    shards: folder of the Parquet files, which every worker can reach. progress: called with the
    number of shards done, and of all.

    Raises: UserError where Ray is not installed or cannot be reached, or `shards` holds another
    reading.
    """
    digest = reader.description["sha256"]
    plan = list(_plan(items, root, f"{digest} {reader.threshold} {rules}"))
    done = _done(shards, plan)
    progress(len(done), len(plan))
    model = str(reader.path.absolute()), reader.threshold, digest
    tasks = [
        {"name": shard.name, "work": pickle.dumps((model, shard, root, rules, shards))}
        for shard in plan
        if shard.name not in done
    ]
    if tasks:
        for read in _read(tasks, jobs):
            progress(len(done) + read, len(plan))
    for shard in plan:
        yield from _load(shards, shard.name)


def _plan(items: Iterable[Card | Path], root: Path, identity: str) -> Iterator[Shard]:
    pieces = chunks(items)
    for number in count():
        content = list(chain.from_iterable(islice(pieces, PIECES)))
        if not content:
            return
        key = hashlib.sha256(identity.encode())
        states: dict[str, str] = {}
        for item in content:
            name = (item.name, item.message) if isinstance(item, Card) else ()
            now = {path: _state(path) for path in _files(item)}
            states |= {str(path): state for path, state in now.items()}
            images = ((path.relative_to(root).as_posix(), now[path]) for path in now)
            key.update(repr((*name, *images)).encode())
        yield Shard(f"{number:06}-{key.hexdigest()[:16]}", content, states)


def _files(item: Card | Path) -> Sequence[Path]:
    return item.images if isinstance(item, Card) else [item]


def _state(path: Path) -> str:
    """What shows that a file has changed: its size and its time, or that it cannot be looked at."""
    try:
        state = path.stat()
    except OSError as error:
        return type(error).__name__
    return f"{state.st_size} {state.st_mtime}"


def _done(shards: Path, plan: list[Shard]) -> set[str]:
    """Names of the shards that are there already, whole."""
    folder = shards / "predictions"
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    # A killed worker may have left a hidden file, as `files.replacing` begins them.
    found = {name.removesuffix(".parquet") for name in fnmatch.filter(names, "[!.]*.parquet")}
    if found - {shard.name for shard in plan}:
        raise UserError(
            f"{shards} holds a reading of other images, or with another model, threshold or rules; "
            "name another folder with --shards, or remove it"
        )
    return {name for name in found if _whole(shards, name)}


def _read(tasks: list[dict[str, Any]], jobs: int | None) -> Iterator[int]:
    """Lets Ray's workers read shards; counts those that are done."""
    with _needed():
        import ray
        import ray.data
    with _cluster(ray, jobs):
        blocks = ray.data.from_items(tasks, override_num_blocks=len(tasks))
        pool = ray.data.TaskPoolStrategy(size=jobs and min(jobs, len(tasks)))
        done = blocks.map(_read_shard, compute=pool, num_cpus=1)
        yield from (number for number, _ in enumerate(done.iter_rows(), start=1))


@contextmanager
def _cluster(ray: Any, jobs: int | None) -> Iterator[None]:
    # Workers look for this package where it is here; where it is installed they find it anyway.
    path = filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
    workers = {"env_vars": {"PYTHONPATH": os.pathsep.join(path)}}
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"num_cpus": jobs or cores(), "include_dashboard": False}
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    try:
        ray.init(address or "local", runtime_env=workers, **quiet, **own)
    except (ConnectionError, RuntimeError) as error:
        raise UserError(f"Ray cannot be reached: {error}") from None
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    ray.data.DataContext.get_current().enable_progress_bars = False
    try:
        yield
    finally:
        ray.shutdown()


@cache
def _reader(model: str, threshold: float, sha256: str) -> Reader:
    """A worker's reader, which reads shard after shard."""
    with notes_held():
        reader = Reader(model, threshold)
    if reader.description["sha256"] != sha256:
        raise UserError(f"{model} is another model on this machine than where the reading began")
    return reader


def _read_shard(task: dict[str, Any]) -> dict[str, str]:
    # Made by this program a moment ago: Ray hands on everything as pickles.
    model, shard, root, rules, shards = pickle.loads(task["work"])
    reader = _reader(*model)
    results: list[Result] = []
    for chunk in chunks(shard.items):
        contents = {} if isinstance(root, os.PathLike) else _fetched(chunk)
        open_image = partial(_open_unchanged, shard.states, contents)
        results += read_chunk(reader, chunk, root, rules, open_image=open_image)
    _save(shards, task["name"], results)
    return {"name": task["name"]}


def _open_unchanged(
    states: dict[str, str], contents: dict[str, bytes | str], path: Path, most: int | None
) -> list[np.ndarray]:
    """The pages of a file that is as it was when the reading began; `contents` as of `_fetched`."""
    content = contents.get(str(path))
    if isinstance(content, str):
        raise UnreadableImage(content)
    images = open_pages(path if content is None else io.BytesIO(content), most)
    if _state(path) != states[str(path)]:
        raise UnreadableImage("the file has changed since the reading began; read it anew")
    return images


def _fetched(items: Items) -> dict[str, bytes | str]:
    """The files of items, all of which are fetched at once, or why one cannot be."""
    paths = [path for item in items for path in _files(item)]

    def fetch(path: Path) -> bytes | str:
        try:
            return path.read_bytes()
        except Exception as error:  # each file system has errors of its own
            return f"the file cannot be fetched: {error}"

    with ThreadPoolExecutor(DOWNLOADS) as pool:
        return dict(zip(map(str, paths), pool.map(fetch, paths), strict=True))


def _save(shards: Path, name: str, results: list[Result]) -> None:
    """Writes a shard, its digests last: with them it is done."""
    tables: dict[str, list[Row] | list[VinRow] | list[Entry]] = {}
    if vins := [result.vin_row for result in results if result.vin_row]:
        entries = [result.entry for result in results if result.entry]
        tables = {"vins": vins, "review": entries}
    tables["predictions"] = [row for result in results for row in result.rows]
    digests = {}
    for table, rows in tables.items():
        packed = _packed(rows)
        digests[table] = sha256(packed)
        _put(shards / table / f"{name}.parquet", packed)
    _put(shards / "sha256" / f"{name}.json", json.dumps(digests).encode())


def _whole(shards: Path, name: str) -> dict[str, bytes]:
    """The files of a shard by table; none where one is missing or is not what was written."""
    try:
        digests = json.loads((shards / "sha256" / f"{name}.json").read_bytes())
        files = {table: (shards / table / f"{name}.parquet").read_bytes() for table in digests}
    except (OSError, ValueError):
        return {}
    return files if all(sha256(files[table]) == digests[table] for table in files) else {}


def _load(shards: Path, name: str) -> Iterator[Result]:
    """The results of a shard.

    Raises: UserError where it is not whole.
    """
    files = _whole(shards, name)
    if not files:
        raise UserError(f"{shards}: {name} is damaged; the same command reads its images again")
    yield Result([Row(**row) for row in _table(files["predictions"])], 0)
    if "vins" in files:
        for vin, entry in zip(_table(files["vins"]), _table(files["review"]), strict=True):
            yield Result([], 0, VinRow(**vin), Entry(**entry))


def _packed(rows: list[Row] | list[VinRow] | list[Entry]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    content = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist([row._asdict() for row in rows]), content)
    return content.getvalue()


def _put(path: Path, content: bytes) -> None:
    if isinstance(path, os.PathLike):
        write_bytes(Path(path), content)
    else:  # stores of objects show an object when it is whole
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _table(content: bytes) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    # In this thread and out of Arrow's own memory: `read_table` leaves threads behind that still
    # let go of Python's when the interpreter has ended, which aborts the program.
    with parquet.ParquetFile(pyarrow.BufferReader(content)) as file:
        rows: list[dict[str, Any]] = file.read(use_threads=False).to_pylist()
    return rows
