"""``python -m kerasgpt`` is the command line."""

import sys

from kerasgpt.cli import main

sys.exit(main())
