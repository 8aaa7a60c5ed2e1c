"""`python -m refvlm`, and `refvlm` where it is installed: the command."""

import sys


def main() -> int:
    """The command's exit status; Ctrl-C while it is being imported is no traceback."""
    try:
        from .cli import main
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return main()


if __name__ == "__main__":
    sys.exit(main())
