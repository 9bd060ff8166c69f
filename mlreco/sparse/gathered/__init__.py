"""Networks in inference by tables of rows: which features each site of a convolution adds up; for CUDA devices."""
