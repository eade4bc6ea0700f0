"""``python -m nbragg`` is the command ``nanobragg``."""

import sys

from .cli.nanobragg import main

if __name__ == "__main__":
    sys.exit(main())
