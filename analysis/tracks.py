"""Start, end, direction, length and sense of tracks against the truth.

python analysis/tracks.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("tracks"))
