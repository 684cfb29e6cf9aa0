"""Entry: ``python -m scripts.hls_lint``."""

import sys

from .rules import main

sys.exit(main())
