"""How quickly the embedded handwriting is written, and that twice as much takes twice as long.

    python benchmarks/handwriting_speed.py

The rate by processor time (of all processes together) does not depend on what else is running.
"""

import os
import time

import project  # noqa: F401 (finds what is imported below)
from vintraining.data import handwriting


def processor_time() -> float:
    """Seconds that this process and its ended children have computed."""
    return sum(os.times()[:4])


def main() -> None:
    for per_class in (500, 1000, 2000):
        begin, computed = time.perf_counter(), processor_time()
        images, _, _ = handwriting.write(per_class, writers=per_class)
        seconds, computed = time.perf_counter() - begin, processor_time() - computed
        print(
            f"{len(images):,} characters by {per_class:,} writers in {seconds:.1f} s: "
            f"{len(images) / seconds:,.0f} a second, "
            f"{len(images) / computed:,.0f} a second of processor time"
        )


if __name__ == "__main__":
    main()
