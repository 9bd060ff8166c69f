"""Instances of one semantic class, or of whole events, read off embeddings and space."""
