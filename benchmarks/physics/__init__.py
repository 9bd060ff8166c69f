"""Physics quantities against the truth of simulated events: the table of ``python -m benchmarks.physics``."""
