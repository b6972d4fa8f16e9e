"""The download stage: NIST over HTTP, played by a local server, and local sources."""

import io
import json
import socket
import zipfile
from pathlib import Path

from vintraining.data import archive as source
from vintraining.data import emnist

import numpy as np
import pandas as pd
import pytest

from conftest import Server, archive_bytes, no_file_over
from vinreader.files import sha256


@pytest.fixture
def official(small_archive, monkeypatch):
    """Makes the small archive's checksums the official ones."""
    with zipfile.ZipFile(small_archive) as file:
        digests = {
            Path(name).name: sha256(file.read(name))
            for name in file.namelist()
            if name.endswith(".gz")
        }
    monkeypatch.setattr(emnist, "OFFICIAL_SHA256", digests)
    monkeypatch.setattr(source.time, "sleep", lambda _: None)
    monkeypatch.setattr(source, "TAIL", 1000)  # the small archive's directory is shorter
    return digests


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    (tmp_path / "raw").mkdir()
    return tmp_path / "kept", tmp_path / "raw"


@pytest.fixture
def server(serve, small_archive, official) -> Server:
    """Has the small archive, of which it is said that it is NIST's."""
    return serve(small_archive.read_bytes())


def dead_url() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/gzip.zip"


def assert_whole(folder: Path, digests: dict[str, str], split: str = "balanced") -> None:
    for name in emnist.members(split):
        assert sha256(folder / name) == digests[name]
    assert emnist.parse_mapping((folder / emnist.mapping_member(split)).read_text())


def test_only_the_members_and_the_directory_are_transferred(
    server, small_archive, official, folders
):
    assert source.fetch([server.url], "balanced", *folders) == server.url
    assert_whole(folders[1], official)
    with zipfile.ZipFile(small_archive) as file:
        infos = file.infolist()
        members = sum(i.compress_size for i in infos if "balanced" in i.filename)
        headers = 4 * (30 + len(infos[-1].filename))
    assert server.sent <= members + source.TAIL + headers
    assert server.agents == {source.USER_AGENT}


def test_real_balanced_split_transfers_its_four_members_only(serve, archive, folders):
    server = serve(archive.read_bytes())
    source.fetch([server.url], "balanced", *folders, require_official=False)
    with zipfile.ZipFile(archive) as file:
        members = sum(file.getinfo(f"gzip/{n}").compress_size for n in emnist.members("balanced"))
    assert members < server.sent <= members + source.TAIL + 4 * 100


def test_deflated_members_are_unpacked(serve, official, folders):
    server = serve(archive_bytes(zipfile.ZIP_DEFLATED))
    source.fetch([server.url], "byclass", *folders)
    assert_whole(folders[1], official, "byclass")


def test_a_cut_connection_is_resumed_where_it_broke(server, small_archive, official, folders):
    server.cuts = 2
    source.fetch([server.url], "balanced", *folders)
    assert_whole(folders[1], official)
    with zipfile.ZipFile(small_archive) as file:
        members = sum(file.getinfo(f"gzip/{n}").compress_size for n in emnist.members("balanced"))
    assert server.sent < 1.2 * members + 10_000  # no byte of the images twice


def test_a_second_run_goes_on_with_what_the_first_one_kept(server, official, folders):
    server.cuts = 10**6
    with pytest.raises(source.ArchiveError, match=r"connection|Connection|IncompleteRead"):
        source.fetch([server.url], "balanced", *folders)
    kept = sum(path.stat().st_size for path in folders[0].glob("*.part"))
    assert kept > 0
    assert not list(folders[1].iterdir())
    server.cuts = server.sent = 0
    source.fetch([server.url], "balanced", *folders)
    assert_whole(folders[1], official)
    first = server.sent
    assert source.fetch([dead_url()], "balanced", *folders) == "kept"  # no server is needed
    assert server.sent == first


def test_a_server_without_ranges_sends_the_whole_archive(server, official, folders):
    server.ranges = False
    source.fetch([server.url], "balanced", *folders)
    assert_whole(folders[1], official)
    assert not (folders[0] / "whole.zip").exists()


def test_the_second_url_is_used_when_the_first_is_dead(server, official, folders):
    urls = [dead_url(), server.url]
    assert source.fetch(urls, "balanced", *folders) == server.url
    assert_whole(folders[1], official)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_refusal_is_reported(server, folders, status):
    server.status = status
    with pytest.raises(source.ArchiveError, match=str(status)):
        source.fetch([server.url], "balanced", *folders)
    assert not source.answers([server.url])


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_wrong_bytes_are_refused_and_deleted(serve, official, folders, compression):
    content = bytearray(archive_bytes(compression))
    name = f"gzip/{emnist.images_member('balanced', 'train')}".encode()
    at = content.find(name) + len(name) + 100
    content[at : at + 8] = b"tampered"
    server = serve(bytes(content))
    with pytest.raises(source.ArchiveError, match="damaged"):
        source.fetch([server.url], "balanced", *folders)
    assert not list(folders[1].iterdir())
    assert not (folders[0] / emnist.images_member("balanced", "train")).exists()


def test_another_archive_than_nists_is_refused(serve, official, folders):
    server = serve(
        archive_bytes(zipfile.ZIP_STORED, per_class=4)
    )  # whole, but not the official one
    with pytest.raises(source.ArchiveError, match="refused: its SHA-256"):
        source.fetch([server.url], "balanced", *folders)
    assert not list(folders[1].iterdir())


def test_what_is_no_zip_is_refused(serve, official, folders):
    with pytest.raises(source.ArchiveError, match="not a ZIP"):
        source.fetch([serve(b"<html>" * 1000).url], "balanced", *folders)


def test_a_full_disk_is_one_clear_error_and_keeps_what_there_is(serve, small_archive, workspace):
    server = serve(small_archive.read_bytes())
    workspace.set({"data.source": "emnist", "data.split": "balanced"})
    workspace.set({"data.urls": [server.url], "data.require_official": False})
    result = workspace.run("download.py", **no_file_over(20_000))
    assert result.returncode == 1
    assert "File too large" in result.stderr and "is kept" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (workspace.folder / "data/raw/source.json").exists()
    result = workspace.run("download.py")
    assert result.returncode == 0, result.stderr


def test_a_local_archive_is_preferred_and_marked_unofficial(workspace, small_archive):
    workspace.set({"data.archive": str(small_archive)})
    result = workspace.run_here("download.py")
    assert result.returncode == 0, result.stderr
    told = json.loads((workspace.folder / "data/raw/source.json").read_text())
    assert told["source"] == "emnist"
    route = json.loads((workspace.folder / "data/route.json").read_text())
    assert route["from"] == "local archive" and "local archive" not in str(told)
    assert told["official"] is False
    for name, digest in told["sha256"].items():
        assert sha256(workspace.folder / "data/raw" / name) == digest


def test_a_folder_of_members_and_the_csv_pair_give_the_same_characters(small_archive, tmp_path):
    split = "balanced"
    made = {}
    for kind in ("archive", "members", "csv"):
        (tmp_path / kind).mkdir()
    assert source.copy_local(small_archive, split, tmp_path / "archive") == "archive"
    assert source.copy_local(tmp_path / "archive", split, tmp_path / "members") == "members"
    for part in emnist.PARTS:
        images, labels = (
            emnist.decode_idx((tmp_path / "archive" / name(split, part)).read_bytes())
            for name in (emnist.images_member, emnist.labels_member)
        )
        table = pd.DataFrame(np.column_stack([labels, images.reshape(len(images), -1)]))
        table.to_csv(tmp_path / f"emnist-{split}-{part}.csv", header=False, index=False)
    assert source.copy_local(tmp_path, split, tmp_path / "csv") == "csv"
    for kind in ("archive", "members", "csv"):
        made[kind] = [
            emnist.decode_idx((tmp_path / kind / name).read_bytes())
            for name in emnist.members(split)
        ]
        assert (tmp_path / kind / emnist.mapping_member(split)).exists()
    for other in ("members", "csv"):
        for ours, theirs in zip(made["archive"], made[other], strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("damage", ["cut off", "bits flipped", "no archive", "empty", "another"])
def test_a_damaged_archive_is_one_clear_error(workspace, small_archive, damage):
    content, other = small_archive.read_bytes(), io.BytesIO()
    with zipfile.ZipFile(other, "w") as file:
        file.writestr("readme.txt", "nothing here")
    at = content.find(emnist.images_member("byclass", "train").encode()) + 200
    copy = workspace.folder / "copy.zip"
    copy.write_bytes(
        {
            "cut off": content[:-500],
            "bits flipped": content[:at] + bytes([content[at] ^ 0xFF]) + content[at + 1 :],
            "no archive": b"not an archive",
            "empty": b"",
            "another": other.getvalue(),
        }[damage]
    )
    workspace.set({"data.archive": str(copy)})
    result = workspace.run_here("download.py")
    assert result.returncode == 1
    assert "copy.zip" in result.stderr and "Traceback" not in result.stderr
    assert not (workspace.folder / "data/raw/source.json").exists()


def test_an_empty_folder_says_what_is_expected(workspace, tmp_path):
    (tmp_path / "nothing").mkdir()
    workspace.set({"data.archive": "nothing"})
    result = workspace.run_here("download.py")
    assert result.returncode == 1
    assert "gzip.zip" in result.stderr and "emnist-byclass-train.csv" in result.stderr


@pytest.mark.parametrize("row", ["1,2,3", "A" + ",0" * 784, "1" + ",300" * 784])
def test_a_wrong_csv_is_named(tmp_path, row):
    for part in emnist.PARTS:
        (tmp_path / f"emnist-balanced-{part}.csv").write_text(row + "\n")
    (tmp_path / "raw").mkdir()
    with pytest.raises(source.ArchiveError, match=r"emnist-balanced-train\.csv"):
        source.copy_local(tmp_path, "balanced", tmp_path / "raw")
