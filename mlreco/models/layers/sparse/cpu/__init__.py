"""Sparse convolutions on the CPU, compiled by numba: kernel maps, forward, both gradients, fused inference."""
