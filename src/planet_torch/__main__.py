"""``python -m planet_torch`` is ``planet``."""

import sys

from planet_torch.cli import main

sys.exit(main())
