"""What the processor may add to a result: which of its instructions the libraries use.

NumPy, OpenBLAS, OpenCV and TensorFlow choose their kernels by processor, and two kernels of one
function differ in the last bits of a sum. `ENVIRONMENT` and `hold` keep them to those that every
x86-64 processor with AVX2 has, whatever else it can do.
"""

import os
import platform
from pathlib import Path
from typing import Literal

ISA = "AVX2"  # the largest instruction set that `portable` arithmetic uses
# Read while the libraries are loaded, so it is set before them (vintraining/__init__.py). oneDNN's
# kernels must be asked for: TensorFlow leaves them out where it finds no AVX512-VNNI.
ENVIRONMENT = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def features() -> set[str]:
    """What the processor can do beyond plain x86-64, by Linux' names (avx2, amx_bf16, …).

    Returns:
        Nothing where the system does not tell.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return set()
    flags = next((line for line in lines if line.startswith("flags")), "")
    return set(flags.partition(":")[2].split())


def missing() -> str:
    """Why this machine cannot give the bytes that other machines give; empty if it can."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"{platform.machine()} is no x86-64 processor"
    absent = {"avx2", "fma"} - (told := features())
    return f"no {' and no '.join(sorted(absent)).upper()}" if told and absent else ""


def hold(arithmetic: Literal["portable", "fast"]) -> None:
    """Keep oneDNN, which trains the network, to `ISA`; before TensorFlow has run anything."""
    if arithmetic == "portable":
        os.environ["ONEDNN_MAX_CPU_ISA"] = ISA
