"""Clustering of the voxels of one semantic class, or of whole events, by their embeddings and positions."""
