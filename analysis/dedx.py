"""DE/dx of stopping tracks against residual range, with the curves of muon and proton.

python analysis/dedx.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("dedx"))
