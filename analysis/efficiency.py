"""Part of the true tracks and showers that are found, against energy.

python analysis/efficiency.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("efficiency"))
