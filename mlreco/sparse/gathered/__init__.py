"""Sparse convolutions as one gather and one matrix product, in torch on any device; for inference on CUDA devices."""
