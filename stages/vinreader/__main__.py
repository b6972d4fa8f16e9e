"""The command vin-reader: `vin-reader FOLDER` reads, `vin-reader check FOLDER` serves the page."""

import sys


def main() -> int:
    """Exit status of what the process's arguments ask for."""
    if sys.argv[1:2] == ["check"]:
        from vinchecking.command import main as check

        return check(sys.argv[2:])
    from vinreader import command

    return command.main()


if __name__ == "__main__":
    sys.exit(main())
