"""Mass of photon pairs from one vertex, with its peak fitted.

python analysis/pi0.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("pi0"))
