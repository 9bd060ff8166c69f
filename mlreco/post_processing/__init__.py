"""Post-processing: instances from embeddings, numbers from instances."""

from mlreco.post_processing.greedy import GreedyClusterer

__all__ = ["GreedyClusterer"]
