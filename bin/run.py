#!/usr/bin/env python3
"""Train, reconstruct, evaluate, display: ``bin/run.py --help``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mlreco.cli import main

if __name__ == "__main__":
    sys.exit(main())
