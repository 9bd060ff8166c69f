"""The CPU engine: sparse layers on float32, compiled by numba.

``engine`` says which layers are computed as a whole and when; ``training`` and ``inference`` compute them, ``kernels``
single convolutions. Below are ``ops`` (what is computed), ``threads`` (who computes) and ``codegen`` (vector code).
"""
