"""The greedy clusterer in torch: all classes of all events of a batch at once, on the device of the network."""

from mlreco.post_processing.clustering.batched.fragments import cluster_batch

__all__ = ["cluster_batch"]
