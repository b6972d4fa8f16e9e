"""Where EMNIST's members come from: NIST over HTTP, a local archive, a folder, or the CSV pair.

`copy_local` and `fetch` put the four members of a split and its mapping into a folder, byte for
byte as published.
"""

import io
import shutil
import time
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

from vintraining.data import emnist

import numpy as np
import pandas as pd
import requests
from tqdm import tqdm

from vinreader.files import sha256, write_bytes, write_text
from vinreader.spec import UserError

USER_AGENT = "vin-reader/1.0 (EMNIST download; Python requests)"  # NIST refuses Python's default
TIMEOUT = (10, 30)  # seconds to connect, seconds between two pieces of data
TRIES = 4
MOST_BYTES = 1 << 28  # of a member; the largest one has 173,367,313
CHUNK = 1 << 14  # bytes; a broken connection loses at most this much of what was sent
TAIL = 1 << 16  # bytes at an archive's end: its directory, some 4,000 of them, and any comment


class ArchiveError(UserError):
    """The data cannot be had from this source; the text says why and what to do."""


class NoRange(ArchiveError):
    """The server sends whole files only."""


def copy_local(source: Path, split: str, folder: Path) -> str:
    """Members of `split` from a local source into `folder`.

    Returns: what the source was: NIST's archive (ZIP, `archive`), a folder of its `members`, or a
        folder with the `csv` pair.

    Raises: ArchiveError where it is none of these, damaged, or lacks a member.
    """
    names, mapping = emnist.members(split), emnist.mapping_member(split)
    csv = {part: source / f"emnist-{split}-{part}.csv" for part in emnist.PARTS}
    if source.is_file():
        _extract(source, split, folder)
        kind = "archive"
    elif all((source / name).is_file() for name in names):
        for path in (source / name for name in (*names, mapping)):
            if path.is_file():
                shutil.copyfile(path, folder / path.name)
        kind = "members"
    elif all(path.is_file() for path in csv.values()):
        for part, path in csv.items():
            _convert_csv(path, split, part, folder)
        kind = "csv"
    else:
        raise ArchiveError(
            f"{source} holds no EMNIST '{split}': expected NIST's gzip.zip, or a folder with "
            f"{names[0]} and the other three members, or with {csv['train'].name} and "
            f"{csv['test'].name}"
        )
    if not (folder / mapping).exists():
        write_text(folder / mapping, emnist.mapping_text(split))
    return kind


def _extract(archive: Path, split: str, folder: Path) -> None:
    names, mapping = emnist.members(split), emnist.mapping_member(split)
    try:
        with zipfile.ZipFile(archive) as file:
            found = {Path(info.filename).name: info for info in file.infolist()}
            for name in (*names, mapping) if mapping in found else names:
                if name not in found:
                    raise ArchiveError(f"{archive} has no member {name}: not EMNIST's archive?")
                _refuse_large(found[name])
                write_bytes(folder / name, file.read(found[name]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ArchiveError(
            f"{archive} is damaged ({error}); delete it, or put a whole copy in its place"
        ) from None


def _refuse_large(info: zipfile.ZipInfo) -> None:
    if max(info.file_size, info.compress_size) > MOST_BYTES:
        raise ArchiveError(f"{info.filename}: {info.file_size:,} bytes, more than EMNIST has")


def _convert_csv(path: Path, split: str, part: str, folder: Path) -> None:
    try:
        table = pd.read_csv(path, header=None, dtype=np.uint8)
    except (ValueError, OverflowError, pd.errors.ParserError) as error:
        raise ArchiveError(f"{path}: not rows of a label and 784 pixels 0-255 ({error})") from None
    if table.shape[1] != 1 + emnist.SIDE**2:
        raise ArchiveError(f"{path}: {table.shape[1]} columns; expected a label and 784 pixels")
    values = table.to_numpy()
    images = values[:, 1:].reshape(-1, emnist.SIDE, emnist.SIDE)
    write_bytes(folder / emnist.images_member(split, part), emnist.encode_idx(images))
    write_bytes(folder / emnist.labels_member(split, part), emnist.encode_idx(values[:, 0]))


def _get(url: str, wanted: range | None = None) -> requests.Response:
    """What a server answers; `wanted`: the bytes to be sent, all where they are not given."""
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if wanted is not None:
        headers["Range"] = f"bytes={wanted.start}-{wanted.stop - 1}"
    response = requests.get(url, headers=headers, timeout=TIMEOUT, stream=True)
    if response.status_code == (200 if wanted is None else 206):
        return response
    response.close()
    if response.status_code == 200:
        raise NoRange(f"{url} knows no Range requests")
    raise ArchiveError(f"{url} answers {response.status_code} {response.reason}")


def _download(url: str, path: Path, wanted: range | None = None) -> None:
    """Appends to `path` what it lacks of these bytes; without `wanted`, writes all bytes anew."""
    for attempt in range(1, TRIES + 1):
        have = path.stat().st_size if wanted is not None and path.exists() else 0
        if wanted is not None and have == len(wanted):
            return
        try:
            with (
                _get(url, wanted and wanted[have:]) as response,
                path.open("ab" if have else "wb") as file,
                tqdm(desc=path.name, unit="B", unit_scale=True, disable=None, leave=False) as bar,
            ):
                bar.reset(have + int(response.headers.get("Content-Length", 0)))
                bar.update(have)
                for chunk in response.iter_content(CHUNK):  # raises where fewer bytes come
                    bar.update(file.write(chunk))
            return
        except (requests.RequestException, OSError) as error:
            if error.errno is not None:  # this machine's disk, not the network
                raise
            if attempt == TRIES:
                raise ArchiveError(f"{url}, {path.name}: {error} ({TRIES} tries)") from None
            time.sleep(0.5 * 2**attempt)


def _directory(url: str) -> dict[str, tuple[zipfile.ZipInfo, range]]:
    """The remote archive's members by name, and the bytes of each, its header before it."""
    with _get(url, range(1)) as response:
        size = int(response.headers["Content-Range"].rpartition("/")[2])
    first = max(0, size - TAIL)
    with _get(url, range(first, size)) as response:
        tail = io.BytesIO(response.content)
    with zipfile.ZipFile(tail) as file:
        infos = sorted(file.infolist(), key=lambda info: info.header_offset)
        # To zipfile the tail is an archive that lost its beginning: it counts from the tail.
        begins = [first + info.header_offset for info in infos] + [first + file.start_dir]
    spans = map(range, begins, begins[1:])
    return {Path(i.filename).name: (i, span) for i, span in zip(infos, spans, strict=True)}


def _fetch_member(url: str, info: zipfile.ZipInfo, span: range, path: Path) -> None:
    """One member: its bytes (resumed if begun before), unpacked, checked, renamed."""
    _refuse_large(info)
    part = path.with_name(path.name + ".part")
    if part.exists() and part.stat().st_size > len(span):
        part.unlink()
    _download(url, part, span)
    content = part.read_bytes()
    header = (
        30 + int.from_bytes(content[26:28], "little") + int.from_bytes(content[28:30], "little")
    )
    data = content[header : header + info.compress_size]
    try:
        if info.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(wbits=-15).decompress(data, info.file_size + 1)
        if zlib.crc32(data) != info.CRC:
            raise zlib.error("wrong CRC")
    except zlib.error as error:
        part.unlink()
        raise ArchiveError(f"{path.name} from {url} is damaged: {error}") from None
    write_bytes(path, data)
    part.unlink()


def _fetch_from(url: str, split: str, kept: Path) -> None:
    try:
        members = _directory(url)
        for name in emnist.members(split):
            if name not in members:
                raise ArchiveError(f"{url} has no member {name}")
            info, span = members[name]
            if not (kept / name).is_file() or zlib.crc32((kept / name).read_bytes()) != info.CRC:
                _fetch_member(url, info, span, kept / name)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{url} is not a ZIP archive ({error})") from None
    except NoRange:
        whole = kept / "whole.zip"
        try:
            _download(url, whole)
            _extract(whole, split, kept)
        finally:
            whole.unlink(missing_ok=True)


def _is_official(path: Path) -> bool:
    return path.is_file() and sha256(path) == emnist.OFFICIAL_SHA256[path.name]


def fetch(
    urls: list[str], split: str, kept: Path, folder: Path, require_official: bool = True
) -> str:
    """Members of `split` from the first of `urls` that gives them, into `folder`; gives the URL.

    Only the members are transferred, by Range requests; a server that knows none sends the whole
    archive. The folder `kept` keeps finished members and begun parts: a second call goes on where
    the first one stopped, and asks no server when all are there, but gives "kept".

    Args:
        require_official: refuse (and delete) a member whose SHA-256 is not NIST's.

    Raises: ArchiveError with each URL's reason.
    """
    kept.mkdir(parents=True, exist_ok=True)
    names, used = emnist.members(split), "kept"
    if not all(_is_official(kept / name) for name in names):
        used = _first_that_gives(urls, split, kept, require_official)
    for name in names:
        shutil.copyfile(kept / name, folder / name)
    write_text(folder / emnist.mapping_member(split), emnist.mapping_text(split))
    return used


def _first_that_gives(urls: list[str], split: str, kept: Path, require_official: bool) -> str:
    reasons = []
    for url in urls:
        try:
            _fetch_from(url, split, kept)
            for path in [kept / name for name in emnist.members(split) if require_official]:
                if not _is_official(path):
                    digest = sha256(path)
                    path.unlink()
                    raise ArchiveError(
                        f"{path.name} is refused: its SHA-256 is {digest}, NIST's is "
                        f"{emnist.OFFICIAL_SHA256[path.name]}; it is deleted. Try again, or put a "
                        "trusted archive at data.archive"
                    )
            return url
        except (ArchiveError, requests.RequestException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise ArchiveError(f"{kept}: {error}; what was downloaded is kept") from None
            reasons.append(f"  {url}: {error}")
    raise ArchiveError("EMNIST cannot be downloaded:\n" + "\n".join(reasons))


def answers(urls: list[str], seconds: float = 4) -> bool:
    """Whether any of `urls` can be had, asking each for at most `seconds`."""
    headers = {"User-Agent": USER_AGENT}
    for url in urls:
        with suppress(requests.RequestException):
            if requests.head(url, headers=headers, timeout=seconds, allow_redirects=True).ok:
                return True
    return False
