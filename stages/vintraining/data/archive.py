"""Where EMNIST's members come from: NIST over HTTP, a local archive, a folder, or the CSV pair.

Each function puts the four members of a split and its mapping into a folder, byte for byte as
published, so that everything after it is the same wherever they came from.
"""

import io
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable
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


class ArchiveError(UserError):
    """The data cannot be had from this source; the text says why and what to do."""


class NoRange(ArchiveError):
    """The server sends whole files only."""


# --- a local archive, folder or CSV pair -------------------------------------------------------


def copy_local(source: Path, split: str, folder: Path) -> str:
    """Members of `split` from a local source into `folder`.

    Args:
        source: NIST's archive (ZIP), a folder of its members, or a folder with the CSV pair.

    Returns:
        What the source was: `archive`, `members` or `csv`.

    Raises:
        ArchiveError: it is none of these, damaged, or lacks a member.
    """
    if source.is_file():
        _extract(source, split, folder)
        return "archive"
    names = emnist.members(split)
    if source.is_dir() and all((source / name).is_file() for name in names):
        for name in [*names, emnist.mapping_member(split)]:
            if (source / name).is_file():
                shutil.copyfile(source / name, folder / name)
        _add_mapping(split, folder)
        return "members"
    csv = {part: source / f"emnist-{split}-{part}.csv" for part in emnist.PARTS}
    if all(path.is_file() for path in csv.values()):
        for part, path in csv.items():
            _convert_csv(path, split, part, folder)
        _add_mapping(split, folder)
        return "csv"
    raise ArchiveError(
        f"{source} holds no EMNIST '{split}': expected NIST's gzip.zip, or a folder with "
        f"{names[0]} and the other three members, or with {csv['train'].name} and "
        f"{csv['test'].name}"
    )


def _add_mapping(split: str, folder: Path) -> None:
    path = folder / emnist.mapping_member(split)
    if not path.exists():
        write_text(path, emnist.mapping_text(split))


def _extract(archive: Path, split: str, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as file:
            found = {Path(name).name: name for name in file.namelist()}
            for name in emnist.members(split):
                if name not in found:
                    raise ArchiveError(f"{archive} has no member {name}: not EMNIST's archive?")
                write_bytes(folder / name, _member(file, found[name]))
            mapping = emnist.mapping_member(split)
            if mapping in found:
                write_bytes(folder / mapping, _member(file, found[mapping]))
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(
            f"{archive} is damaged ({error}); delete it, or put a whole copy in its place"
        ) from None
    _add_mapping(split, folder)


def _member(file: zipfile.ZipFile, name: str) -> bytes:
    """A member's bytes: never more than the archive's directory says, and never too many."""
    _refuse_large(file.getinfo(name))
    return file.read(name)


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


# --- NIST over HTTP ----------------------------------------------------------------------------


def _get(url: str, start: int | None = None, end: int | None = None) -> requests.Response:
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if start is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    response = requests.get(url, headers=headers, timeout=TIMEOUT, stream=True)
    if response.status_code not in (200, 206):
        status = f"{response.status_code} {response.reason}"
        response.close()
        raise ArchiveError(f"{url} answers {status}")
    return response


def _retrying(action: Callable[[], None], what: str) -> None:
    """Runs `action` until it ends without a network error; what it had done so far is kept."""
    for attempt in range(1, TRIES + 1):
        try:
            return action()
        except (requests.RequestException, OSError) as error:
            if error.errno is not None:  # this machine's disk, not the network
                raise
            if attempt == TRIES:
                raise ArchiveError(f"{what}: {error} ({TRIES} tries)") from None
            time.sleep(0.5 * 2**attempt)


class _RemoteFile(io.RawIOBase):
    """The remote archive as a seekable file: `zipfile` reads its central directory through it."""

    def __init__(self, url: str):
        self.url, self.position = url, 0
        with _get(url, 0, 1) as response:
            if response.status_code != 206:
                raise NoRange(f"{url} knows no Range requests")
            self.size = int(response.headers["Content-Range"].rsplit("/")[-1])

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.position = offset + {0: 0, 1: self.position, 2: self.size}[whence]
        return self.position

    def read(self, size: int = -1) -> bytes:
        end = self.size if size < 0 else min(self.size, self.position + size)
        if end <= self.position:
            return b""
        with _get(self.url, self.position, end) as response:
            data = response.content
        self.position += len(data)
        return data


def _append(url: str, path: Path, start: int, size: int, bar: tqdm) -> None:
    """Bytes [start, start + size) of `url` appended to what `path` already holds of them."""
    have = path.stat().st_size if path.exists() else 0
    bar.n = have
    bar.refresh()
    if have >= size:
        return
    with _get(url, start + have, start + size) as response, path.open("ab") as file:
        if response.status_code != 206:
            raise NoRange(f"{url} knows no Range requests")
        for chunk in response.iter_content(CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    if path.stat().st_size != size:
        raise OSError(f"connection closed after {path.stat().st_size:,} of {size:,} bytes")


def _progress(total: int | None, what: str) -> tqdm:
    return tqdm(total=total, desc=what, unit="B", unit_scale=True, disable=None, leave=False)


def _fetch_member(remote: _RemoteFile, info: zipfile.ZipInfo, path: Path) -> None:
    """One member: its bytes by Range (resumed if begun before), unpacked, checked, renamed."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ArchiveError(f"{info.filename}: compression {info.compress_type} is not supported")
    _refuse_large(info)
    remote.seek(info.header_offset)
    header = remote.read(30)
    if header[:4] != b"PK\x03\x04":
        raise ArchiveError(f"{remote.url}: no member at byte {info.header_offset:,}; damaged?")
    start = info.header_offset + 30 + sum(np.frombuffer(header[26:30], "<u2").tolist())
    part = path.with_name(path.name + ".part")
    if part.exists() and part.stat().st_size > info.compress_size:
        part.unlink()
    with _progress(info.compress_size, path.name) as bar:
        _retrying(
            lambda: _append(remote.url, part, start, info.compress_size, bar),
            f"{remote.url}, {path.name}",
        )
    data = part.read_bytes()
    if info.compress_type == zipfile.ZIP_DEFLATED:
        try:
            data = zlib.decompressobj(wbits=-15).decompress(data, info.file_size + 1)
        except zlib.error as error:
            part.unlink()
            raise ArchiveError(f"{path.name} from {remote.url} is damaged: {error}") from None
    if zlib.crc32(data) != info.CRC:
        part.unlink()
        raise ArchiveError(f"{path.name} from {remote.url} is damaged: wrong CRC")
    write_bytes(path, data)
    part.unlink(missing_ok=True)


def is_official(path: Path) -> bool:
    return path.is_file() and sha256(path) == emnist.OFFICIAL_SHA256[path.name]


def _refuse_unofficial(path: Path) -> None:
    if not is_official(path):
        digest = sha256(path)
        path.unlink()
        raise ArchiveError(
            f"{path.name} is refused: its SHA-256 is {digest}, NIST's is "
            f"{emnist.OFFICIAL_SHA256[path.name]}; it is deleted. Try again, or put a trusted "
            "archive at data.archive"
        )


def _fetch_whole(url: str, path: Path) -> None:
    part = path.with_name(path.name + ".part")

    def fetch() -> None:
        with _get(url) as response, part.open("wb") as file:
            size = int(response.headers.get("Content-Length", 0))
            with _progress(size or None, url) as bar:
                for chunk in response.iter_content(CHUNK):
                    file.write(chunk)
                    bar.update(len(chunk))
        if size and part.stat().st_size != size:
            raise OSError(f"connection closed after {part.stat().st_size:,} of {size:,} bytes")

    _retrying(fetch, url)
    part.replace(path)


def _crc32(path: Path) -> int:
    return zlib.crc32(path.read_bytes())


def _fetch_from(url: str, split: str, kept: Path) -> None:
    try:
        remote = _RemoteFile(url)
        with zipfile.ZipFile(remote) as directory:
            infos = {Path(info.filename).name: info for info in directory.infolist()}
        for name in emnist.members(split):
            if name not in infos:
                raise ArchiveError(f"{url} has no member {name}")
            if not (kept / name).is_file() or _crc32(kept / name) != infos[name].CRC:
                _fetch_member(remote, infos[name], kept / name)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{url} is not a ZIP archive ({error})") from None
    except NoRange:
        whole = kept / "whole.zip"
        try:
            _fetch_whole(url, whole)
            _extract(whole, split, kept)
        finally:
            whole.unlink(missing_ok=True)


def fetch(
    urls: list[str], split: str, kept: Path, folder: Path, require_official: bool = True
) -> str:
    """Members of `split` from the first of `urls` that gives them, into `folder`.

    Only the members are transferred, by Range requests; a server that knows none sends the whole
    archive. `kept` keeps finished members and begun parts, so a second call goes on where the
    first one stopped, and asks no server when all are there.

    Args:
        require_official: refuse (and delete) a member whose SHA-256 is not NIST's.

    Returns:
        The URL that was used; `kept` when none was needed.

    Raises:
        ArchiveError: no URL gave the data; the text lists each one's reason.
    """
    kept.mkdir(parents=True, exist_ok=True)
    names = emnist.members(split)
    if all(is_official(kept / name) for name in names):
        used = "kept"
    else:
        used = _first_that_gives(urls, split, kept, require_official)
    for name in names:
        shutil.copyfile(kept / name, folder / name)
    _add_mapping(split, folder)
    return used


def _first_that_gives(urls: list[str], split: str, kept: Path, require_official: bool) -> str:
    reasons = []
    for url in urls:
        try:
            _fetch_from(url, split, kept)
            for name in emnist.members(split) if require_official else []:
                _refuse_unofficial(kept / name)
        except (ArchiveError, requests.RequestException, OSError) as error:
            if getattr(error, "errno", None) is not None:
                raise ArchiveError(f"{kept}: {error}; what was downloaded is kept") from None
            reasons.append(f"  {url}: {error}")
            continue
        return url
    raise ArchiveError("EMNIST cannot be downloaded:\n" + "\n".join(reasons))


def answers(urls: list[str], seconds: float = 4) -> bool:
    """Whether any of `urls` can be had, asking each for at most `seconds`."""
    for url in urls:
        try:
            headers = {"User-Agent": USER_AGENT}
            with requests.head(
                url, headers=headers, timeout=seconds, allow_redirects=True
            ) as reply:
                if reply.ok:
                    return True
        except requests.RequestException:
            continue
    return False
