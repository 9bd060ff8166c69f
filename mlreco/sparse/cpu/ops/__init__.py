"""What is computed: convolution, weight gradient, normalisation; checks and jobs in Python, loops in kernels."""
