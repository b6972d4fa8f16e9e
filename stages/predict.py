"""Not a stage: reads images of VIN boxes and cards. The same as the command `vin-reader read`."""

import sys

from vinreader.__main__ import run

if __name__ == "__main__":
    sys.exit(run("read", "predict.py", sys.argv[1:]))
