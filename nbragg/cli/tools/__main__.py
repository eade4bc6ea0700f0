"""``python -m nbragg.cli.tools``: the command ``nbragg``."""

import sys

from . import main

sys.exit(main())
