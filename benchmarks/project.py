"""Where the project is; once it is imported, so can be what stages/ and tests/ hold."""

import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT / "stages"), str(PROJECT / "tests")]
