"""`python -m discover.cli`, the same as `discover`."""

import sys

from discover.cli import main

if __name__ == "__main__":
    sys.exit(main())
