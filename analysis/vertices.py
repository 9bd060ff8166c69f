"""Distance of vertices from the true ones, and the grouping of particles to interactions.

python analysis/vertices.py OUTPUT.h5 -o DIR
"""

from mlreco.cli.analysis_script import run

if __name__ == "__main__":
    raise SystemExit(run("vertices"))
