"""Convolution, weight gradient and normalisation: checks and jobs in Python, loops in compiled kernels."""
