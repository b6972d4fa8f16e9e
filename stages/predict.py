"""Not a stage: reads images of VIN boxes and cards. The same program as the command vin-reader."""

import sys

from vinreader.command import main

if __name__ == "__main__":
    sys.exit(main(program="predict.py"))
