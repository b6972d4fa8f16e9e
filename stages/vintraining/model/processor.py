"""What the processor may add to a result: which of its instructions the libraries use.

NumPy, OpenBLAS, OpenCV and TensorFlow choose their kernels by processor, and two kernels of one
function differ in the last bits of a sum. `ENVIRONMENT` and `restrict` leave them those that
every x86-64 processor with AVX2 has, whatever else it can do.
"""

import os
import platform
from pathlib import Path
from typing import Literal

Arithmetic = Literal["portable", "fast"]
ISA = "AVX2"  # the largest instruction set that `portable` arithmetic uses
# Read while the libraries are loaded, so it is set before them (vintraining/__init__.py). oneDNN's
# kernels must be asked for: TensorFlow leaves them out where it finds no AVX512-VNNI.
ENVIRONMENT = {
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
    "OPENBLAS_CORETYPE": "Haswell",
    "OPENBLAS_NUM_THREADS": "1",
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


# Which of a processor's features change what the libraries compute with, by Linux' names.
NAMED = ["avx2", "fma", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16"]


def features() -> list[str]:
    """Those of `NAMED` that this processor has; none where the system does not tell."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return []
    flags = next((line for line in lines if line.startswith("flags")), "")
    has = flags.partition(":")[2].split()
    return [name for name in NAMED if name in has]


def missing() -> str:
    """Why this machine cannot give the bytes that other machines give; empty if it can."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return f"{platform.machine()} is no x86-64 processor"
    if (has := features()) and not {"avx2", "fma"} <= set(has):
        return "this processor has no AVX2 with FMA"
    return ""


def restrict(arithmetic: Arithmetic) -> None:
    """Leaves TensorFlow the processor and oneDNN `ISA`, before TensorFlow has run anything.

    Args:
        arithmetic: "fast" leaves both as they choose.
    """
    if arithmetic == "portable":
        os.environ |= {"ONEDNN_MAX_CPU_ISA": ISA, "CUDA_VISIBLE_DEVICES": "-1"}


def kernels(arithmetic: Arithmetic) -> str:
    """What the trained bytes depend on: with "portable" the same on every processor."""
    used = [ISA.lower()] if arithmetic == "portable" else features()
    return f"{arithmetic}: {' '.join(used) or 'of an unknown processor'}"
