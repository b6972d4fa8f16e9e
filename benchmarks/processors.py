"""Other processors, made up for a process by processor.c: features, caches and cores."""

import os
import subprocess
from pathlib import Path

from vinreader.spec import UserError

SOURCE = Path(__file__).with_name("processor.c")
NAMES = ("haswell", "zen2", "skylake", "single")  # as processor.c describes them
UNABLE = 78  # exit status of a process whose processor cannot be made up


def build(folder: Path) -> Path:
    """The library that makes up a processor, compiled into `folder`.

    Raises:
        UserError: no C compiler, or a system in which the CPUID instruction cannot be caught.
    """
    library = folder / "processor.so"
    command = ["cc", "-O1", "-shared", "-fPIC", "-o", library, SOURCE]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        raise UserError("no C compiler (cc) to make up another processor with") from None
    except subprocess.CalledProcessError as error:
        raise UserError(f"{SOURCE} does not compile here: {error.stderr}") from None
    tried = subprocess.run(["true"], env=os.environ | environment(library, NAMES[0]))
    if tried.returncode:
        raise UserError("another processor cannot be made up here: CPUID cannot be caught")
    return library


def environment(library: Path, name: str) -> dict[str, str]:
    """What to add to a process's environment so that it sees the processor `name`."""
    return {"LD_PRELOAD": str(library), "PROCESSOR": name}
