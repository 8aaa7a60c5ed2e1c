"""`python -m refvlm`: the command."""

import sys

from .cli import main

sys.exit(main())
