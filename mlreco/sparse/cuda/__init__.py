"""Sparse convolutions on CUDA devices: spconv, fed with this package's own parameters."""
