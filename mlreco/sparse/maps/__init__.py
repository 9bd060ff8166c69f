"""Kernel maps: the pairs (input row, output row) of sparse convolutions, and the sites from which they were built."""
