"""benchmarks/results.md: a section for each benchmark, with its command, machine and versions."""

import os
import platform
import shlex
import sys
from pathlib import Path

from project import PROJECT

import psutil

from vinreader import provenance
from vinreader.processes import cores

RESULTS = PROJECT / "benchmarks/results.md"


def versions(packages: tuple[str, ...]) -> str:
    found = provenance.versions(packages)
    return ", ".join([f"Python {found.pop('python')}", *map(" ".join, found.items())])


def machine() -> str:
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    memory = psutil.virtual_memory().total / 2**30
    return f"{model}, {cores()} of {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()}"


def write(title: str, packages: tuple[str, ...], rows: list[tuple[str, ...]], note: str) -> None:
    """Writes the section `title`, a table whose first row is its head; the others stay."""
    head, *body = ("| " + " | ".join(row) + " |" for row in rows)
    lines = [
        f"`{shlex.join(['python', *sys.argv])}`",
        "",
        f"{machine()}. {versions(packages)}. {note}",
        "",
        head,
        "|" + "---|" * len(rows[0]),
        *body,
    ]
    old = RESULTS.read_text("utf-8") if RESULTS.exists() else ""
    sections = dict(part.partition("\n")[::2] for part in ("\n" + old).split("\n# ")[1:])
    sections[title] = "\n".join(lines)
    text = "\n\n".join(f"# {name}\n\n{text.strip()}" for name, text in sections.items())
    RESULTS.write_text(text + "\n", encoding="utf-8")
    print(f"see {RESULTS}")
