"""`python -m modecover` is the command `modecover`; `torchrun -m modecover train ...` needs it."""

import sys

from modecover.cli import main

sys.exit(main())
