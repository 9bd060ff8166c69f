"""Kinetic energy of stopping tracks from their range, and of all from their charge, against the truth.

python analysis/range_energy.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("range_energy"))
