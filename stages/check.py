"""Not a stage: serves the page on which clerks check cards. The same as vin-reader check."""

import sys

from vinchecking.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], program="check.py"))
