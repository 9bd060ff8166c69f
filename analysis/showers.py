"""Energy and angular resolution of showers against energy, and electrons against photons.

python analysis/showers.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("showers"))
