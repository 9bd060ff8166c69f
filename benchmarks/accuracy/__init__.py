"""How well the clusterers do on events with truth, side by side: ``python -m benchmarks.accuracy``."""
