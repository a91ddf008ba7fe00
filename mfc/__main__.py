"""`python -m mfc`: the command line."""

import sys

from mfc.cli import main

if __name__ == "__main__":
    sys.exit(main())
