"""Energy spectrum of Michel electrons with its end point fitted.

python analysis/michel.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("michel"))
