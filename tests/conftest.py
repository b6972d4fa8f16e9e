"""What the tests share: the real archive, a small one in its layout, a server, a workspace."""

import contextlib
import csv
import functools
import http.server
import io
import json
import os
import re
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import traceback
import zipfile
from collections.abc import Iterable
from pathlib import Path

from vintraining.data import dataset, emnist, handwriting
from vintraining.drawing.cards import DrawnCard
from vintraining.hands import batches

import cv2
import hypothesis
import numpy as np
import pytest
import requests
import yaml

from vinreader import __main__ as commands
from vinreader import console
from vinreader.number import prior
from vinreader.reader import RELEASED
from vinreader.spec import CHARACTERS, INDEX

# What examples show depends neither on how long the machine takes for them nor on chance: they are
# the same in every run.
hypothesis.settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("project")

os.environ["LC_ALL"] = "C.UTF-8"  # the tests read what is said in English
PROJECT = Path(__file__).parents[1]
DVC = Path(sys.executable).with_name("dvc")
SHARED = PROJECT.parent / "shared"
linux = pytest.mark.skipif(sys.platform != "linux", reason="uses Linux' limits and capabilities")


def run_alone(
    folder: Path, script: str, *arguments: object, **options
) -> subprocess.CompletedProcess:
    """A script of stages/, run as a user runs it in `folder`."""
    command = [sys.executable, PROJECT / "stages" / script, *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(command, cwd=folder, text=True, **{**pipes, **options})


def run_code(
    code: str, *arguments: object, cwd: Path = PROJECT / "stages"
) -> subprocess.CompletedProcess:
    """Python code, run in a process of its own that finds the project's packages."""
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=unmeasured() | {"PYTHONPATH": str(PROJECT / "stages")},
        capture_output=True,
        text=True,
    )


def predict(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """`predict.py`, run as a user runs it in the folder `cwd`."""
    return run_alone(cwd, "predict.py", *arguments)


def run_here(folder: Path, script: str, *arguments: object) -> subprocess.CompletedProcess:
    """A script as a user runs it in `folder`, but in this process: its status and what it says.

    A process takes seconds to load what this one has loaded. That scripts run in processes of
    their own, too, the tests of the workflow show.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    argv, language = sys.argv, console._chosen
    out, err, status = io.StringIO(), io.StringIO(), 0
    sys.argv = [script, *map(str, arguments)]
    try:
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            if script == "vinreader":
                status = commands.main()
            elif script == "predict.py":
                status = commands.run("read", script, sys.argv[1:])
            else:
                runpy.run_path(str(PROJECT / "stages" / script), run_name="__main__")
    except SystemExit as end:
        status = end.code or 0
        if isinstance(status, str):
            print(status, file=err)
            status = 1
    except Exception:
        traceback.print_exc(file=err)
        status = 1
    finally:
        sys.argv, console._chosen = argv, language
        for number, handler in before.items():
            signal.signal(number, handler)
    return subprocess.CompletedProcess([script, *arguments], status, out.getvalue(), err.getvalue())


def predict_here(*arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    """`predict.py` in this process, where how a process begins and ends is not the point."""
    return run_here(cwd, "predict.py", *arguments)


def unmeasured() -> dict[str, str]:
    """The environment of a process whose coverage is not measured, for that writes files, too."""
    return {name: value for name, value in os.environ.items() if "COV" not in name}


def no_file_over(size: int) -> dict[str, object]:
    """Options of a process whose files grow to `size` bytes at most, as on a full disk."""
    import resource  # not on Windows

    limit = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))
    return {"preexec_fn": limit, "env": unmeasured()}


# Forks for each attempt, so that modules are loaded once. The attempt ends, as by SIGKILL, before
# the n-th change of a file or folder.
_KILLED = """
import json, os, runpy, sys, traceback
sys.path.insert(0, sys.argv[1])
import vinreader.reading, vintraining.hands.collect, vintraining.releasing

def attempt(left, cwd, script, *arguments):
    def counted(change):
        def made(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os._exit(9)
            return change(*arguments, **options)
        return made
    for name in ("rename", "replace", "unlink", "remove", "rmdir", "mkdir"):
        setattr(os, name, counted(getattr(os, name)))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(cwd)
    sys.argv = [script, *arguments]
    sys.path.insert(0, os.path.dirname(script))
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0

for line in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(attempt(*json.loads(line)))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@functools.cache
def _killing() -> subprocess.Popen:
    command = [sys.executable, "-c", _KILLED, PROJECT / "stages"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes, env=unmeasured())


def killed_at(change: int, script: str | Path, *arguments: object, cwd: Path) -> bool:
    """Whether a script was killed: before its `change`-th change of files, if it makes so many."""
    if not hasattr(os, "fork"):
        pytest.skip("starts each attempt by a fork")
    attempt = [change, *map(str, (cwd, PROJECT / "stages" / script, *arguments))]
    print(json.dumps(attempt), file=_killing().stdin, flush=True)
    code = int(_killing().stdout.readline())
    assert code in (0, 9), f"exit code {code}; what it said is on standard error"
    return code == 9


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column."""
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, columns: Iterable[str], table: Iterable[dict[str, str]]) -> Path:
    """A CSV file of these columns; what a row lacks is empty in it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(table)
    return path


def save_card(folder: Path, card: DrawnCard, numbers: Iterable[int] = range(1, 18)) -> None:
    """Images of a drawn card's boxes, named by their numbers; number 18 is box 1 again."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        cv2.imwrite(str(folder / f"{number:02}.png"), card.boxes[(number - 1) % 17])


def save_labelled(folder: Path, images: np.ndarray, labels: np.ndarray, writers: Iterable) -> Path:
    """A labelled folder of characters, as dark ink on paper."""
    (folder / "images").mkdir(parents=True)
    table = []
    for at, (image, label, writer) in enumerate(zip(images, labels, writers, strict=True)):
        name = f"images/{at}.png"
        cv2.imwrite(str(folder / name), 255 - image)
        table.append({"file": name, "character": CHARACTERS[label], "writer": writer})
    write_rows(folder / "labels.csv", table[0], table)
    return folder


def save_batch(folder: Path, cards: Iterable[DrawnCard]) -> batches.Batch:
    """A batch of drawn cards as an archive has checked them; half of them held out."""
    with batches.Batch(folder, 0.5) as batch:
        for number, card in enumerate(cards):
            files = tuple((cv2.imencode(".png", box)[1].tobytes(), ".png") for box in card.boxes)
            scan = batches.Scan(str(number), (), files)
            batch.add(batches.Checked(scan.name, card.vin), scan)
        batch.write()
    return batch


def pixels(characters: dataset.Characters) -> set[bytes]:
    return {image.tobytes() for image in characters.images}


def reading(number: str, doubts=(), sure: float = 0.99) -> np.ndarray:
    """(17, 33) log probabilities of a clear reading, but (position, character, probability)s."""
    boxes = np.full((17, 33), (1 - sure) / 32)
    boxes[np.arange(17), [INDEX[c] for c in number]] = sure
    for position, character, probability in doubts:
        boxes[position - 1] *= 1 - probability
        boxes[position - 1, INDEX[character]] += probability
    return np.log(boxes)


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


# The files that take longest, the longest first: a process that began with one of them last would
# work alone in the end.
LONGEST = ("workflow", "install", "finetune", "cluster", "network", "review", "station")


def pytest_collection_modifyitems(items):
    places = {f"test_{name}.py": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def archive() -> Path:
    """The archive of real EMNIST images in NIST's layout."""
    return require(SHARED / "emnist" / "gzip.zip")


@pytest.fixture(scope="session")
def scans() -> Path:
    """Folder of real scanned characters; labels.csv beside it says what they are."""
    return require(SHARED / "scans" / "images")


@pytest.fixture(scope="session")
def statistics() -> dict:
    """The released statistics of numbers, as they stand in their file. Not to be changed."""
    return json.loads(RELEASED.with_name(prior.FILE).read_text("utf-8"))


@pytest.fixture(scope="session")
def released(statistics) -> prior.Prior:
    """What the released statistics expect."""
    return prior.build(statistics)


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
                images, labels, _ = handwriting.write(per_class=per_class, writers=4, seed=seed)
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
            def do_GET(self):
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
                if self.command == "HEAD":
                    return
                if server.cuts > 0 and len(data) > 1000:
                    server.cuts -= 1
                    data = data[: len(data) // 2]
                self.wfile.write(data)
                server.sent += len(data)

            do_HEAD = do_GET

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
        return run_alone(self.folder, script, *arguments, **options)

    def run_here(self, script: str, *arguments: object) -> subprocess.CompletedProcess:
        """As `run`, in this process (see `run_here`)."""
        return run_here(self.folder, script, *arguments)

    def read_json(self, name: str) -> dict:
        return json.loads((self.folder / name).read_text())


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return Workspace(tmp_path)


class Clone(Workspace):
    """A git repository of its own in which DVC runs."""

    def __init__(self, folder: Path):
        self.folder = folder

    def take_project(self) -> None:
        """Takes the project's files as they are now."""
        listed = self.call(
            "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=PROJECT
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).is_file():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(PROJECT / name, self.folder / name)

    def copy(self, folder: Path) -> "Clone":
        """All of it, its cache and its history, in another folder."""
        shutil.copytree(self.folder, folder, symlinks=True, dirs_exist_ok=True)
        return Clone(folder)

    @property
    def environment(self) -> dict[str, str]:
        """In which stages run with this Python and commits have an author. Nothing is measured:
        the code that runs is the copy's, which is none of what coverage counts."""
        return unmeasured() | {
            "PATH": f"{DVC.parent}{os.pathsep}{os.environ['PATH']}",
            "DVC_NO_ANALYTICS": "1",
            **{f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "test@example.org" for who in ("AUTHOR", "COMMITTER")},
        }

    def call(self, *command: object, cwd: Path | None = None) -> subprocess.CompletedProcess:
        result = subprocess.run(
            [*map(str, command)],
            cwd=cwd or self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result

    def dvc(self, *arguments: object) -> str:
        return self.call(DVC, *arguments).stdout


# Parameters of a workflow that takes a minute.
SMALL = {
    "split.validation": 0.3,
    "split.embedded_share": 0.05,
    "train.epochs": 1,
    "train.widths": [4, 8, 8],
    "train.batch_size": 32,
    "train.ema_share": 0.0,  # an average over so few steps would still be the start
    "finetune.steps": 5,
    "evaluate.cards": 20,
    "export.max_int8_loss": 1.0,  # so short a training leaves little to lose
}


@pytest.fixture(scope="session")
def small_run(tmp_path_factory, small_archive) -> Clone:
    """After `git clone` and `dvc repro` with little data, committed. To be copied, not changed."""
    clone = Clone(tmp_path_factory.mktemp("clone"))
    clone.take_project()
    clone.set(SMALL | {"data.archive": str(small_archive)})
    clone.call("git", "init", "-q")
    clone.dvc("repro")
    clone.call("git", "add", "-A")
    clone.call("git", "commit", "-q", "-m", "small run")
    return clone


@pytest.fixture(scope="session")
def driver(tmp_path_factory):
    """Chromium, for all tests that a process runs."""
    pytest.importorskip("selenium", reason="needs selenium (requirements-dev.txt)")
    from stations import browser

    home = tmp_path_factory.mktemp("browser")
    with browser(home) as driver:
        driver.downloads = home
        yield driver


@pytest.fixture
def s3(monkeypatch):
    """The address of an S3-compatible server with a bucket `vin`."""
    pytest.importorskip("s3fs", reason="needs s3fs (requirements-dev.txt)")
    server = pytest.importorskip("moto.server", reason="needs moto (requirements-dev.txt)")

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    store = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    store.start()
    address = "http://{}:{}".format(*store.get_host_and_port())
    requests.put(f"{address}/vin", timeout=30).raise_for_status()
    yield address
    store.stop()
