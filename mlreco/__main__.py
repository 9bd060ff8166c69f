"""``python -m mlreco``, the command line, also under ``torchrun``."""

import sys

from mlreco.cli import main

if __name__ == "__main__":
    sys.exit(main())
