"""What the tests share: the real archive, a small one in its layout, a server, a workspace."""

import functools
import http.server
import io
import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import yaml

from vinreader import emnist, handwriting
from vinreader.alphabet import CHARACTERS

# Examples take as long as the machine takes; what they show does not depend on it.
hypothesis.settings.register_profile("project", deadline=None)
hypothesis.settings.load_profile("project")

PROJECT = Path(__file__).parents[1]
SHARED = PROJECT.parent / "shared"


def require(path: Path) -> Path:
    """`path`, or the test is skipped and says so."""
    if not path.exists():
        pytest.skip(f"needs {path.name} at {path}, which is not part of the project")
    return path


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Where FORBID_SKIPS is set, a test that skips because it needs something fails instead."""
    report = yield
    if report.skipped and os.environ.get("FORBID_SKIPS") and "needs " in str(report.longrepr):
        report.outcome = "failed"
    return report


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive of real EMNIST images in NIST's layout."""
    return require(SHARED / "emnist" / "gzip.zip")


@pytest.fixture(scope="session")
def scans() -> Path:
    """Folder of real scanned characters; labels.csv beside it says what they are."""
    return require(SHARED / "scans" / "images")


@pytest.fixture(scope="session")
def small_archive(tmp_path_factory) -> Path:
    """An archive in NIST's layout, both splits, of embedded handwriting."""
    path = tmp_path_factory.mktemp("archive") / "gzip.zip"
    path.write_bytes(archive_bytes(zipfile.ZIP_STORED))
    return path


def archive_bytes(compression: int, per_class: int = 6) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for split in emnist.CLASSES:
            file.writestr(f"gzip/{emnist.mapping_member(split)}", emnist.mapping_text(split))
            label_of = np.array([emnist.CLASSES[split].index(c) for c in CHARACTERS], np.uint8)
            for part, seed in (("train", 1), ("test", 2)):
                images, labels, _ = handwriting.write(
                    per_class=per_class, writers=4, seed=seed, progress=False
                )
                for name, array in (
                    (emnist.images_member(split, part), emnist.turned(images)),
                    (emnist.labels_member(split, part), label_of[labels]),
                ):
                    file.writestr(f"gzip/{name}", emnist.encode_idx(array))
    return buffer.getvalue()


class Server:
    """Serves one file at /gzip.zip as NIST does, or as badly as a test wants; counts bytes."""

    def __init__(self, content: bytes):
        self.content, self.ranges, self.cuts, self.status = content, True, 0, None
        self.sent, self.agents = 0, set()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.reply(body=False)

            def do_GET(self):
                self.reply(body=True)

            def reply(self, body: bool):
                agent = self.headers.get("User-Agent", "")
                server.agents.add(agent)
                if server.status or agent.lower().startswith("python"):
                    self.send_error(server.status or 403)
                    return
                wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                start, end = 0, len(server.content)
                if wanted and server.ranges:
                    start = int(wanted[1])
                    end = min(end, int(wanted[2]) + 1) if wanted[2] else end
                    self.send_response(206)
                    self.send_header(
                        "Content-Range", f"bytes {start}-{end - 1}/{len(server.content)}"
                    )
                else:
                    self.send_response(200)
                data = server.content[start:end]
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if not body:
                    return
                if server.cuts > 0 and len(data) > 1000:
                    server.cuts -= 1
                    data = data[: len(data) // 2]
                self.wfile.write(data)
                server.sent += len(data)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/gzip.zip"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def serve():
    """serve(content) -> Server; all are closed after the test."""
    servers = []

    def start(content: bytes) -> Server:
        servers.append(Server(content))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


class Workspace:
    """A folder with a params.yaml of its own in which stages run as DVC runs them."""

    def __init__(self, folder: Path):
        self.folder = folder
        shutil.copy(PROJECT / "params.yaml", folder)

    def set(self, changes: dict[str, object]) -> None:
        """Changes values in params.yaml: set({"train.epochs": 2})."""
        path = self.folder / "params.yaml"
        values = yaml.safe_load(path.read_text())
        for name, value in changes.items():
            *sections, last = name.split(".")
            place = functools.reduce(dict.__getitem__, sections, values)
            assert last in place, name
            place[last] = value
        path.write_text(yaml.safe_dump(values))

    def run(self, script: str, *arguments: object, **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, PROJECT / "stages" / script, *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            **options,
        )


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)
