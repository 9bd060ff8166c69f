"""Kernel maps: which input rows a sparse convolution adds to which output rows, and what they were built from."""
