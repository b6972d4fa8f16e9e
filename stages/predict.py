"""Not a stage: reads images of VIN boxes and cards. The same as the command `vin-reader read`."""

import sys

if __name__ == "__main__":
    try:
        from vinreader.__main__ import run  # which answers Ctrl+C itself, once it is loaded
    except KeyboardInterrupt:
        sys.exit(130)
    sys.exit(run("read", "predict.py", sys.argv[1:]))
