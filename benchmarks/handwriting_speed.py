"""How quickly the embedded handwriting is written, and that twice as much takes twice as long.

python benchmarks/handwriting_speed.py
"""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "stages"))

from vinreader import handwriting
from vinreader.processes import suggested


def main() -> None:
    for per_class in (500, 1000, 2000):
        begin = time.perf_counter()
        images, _, _ = handwriting.write(per_class, writers=per_class)
        seconds = time.perf_counter() - begin
        processes = suggested(len(images))
        print(
            f"{len(images):,} characters by {per_class:,} writers in {seconds:.1f} s "
            f"({processes} processes): {len(images) / seconds:,.0f} a second"
        )


if __name__ == "__main__":
    main()
