"""The CPU engine: sparse layers on float32, compiled by numba.

``engine`` decides which layers are computed in one go and when; ``training`` and ``inference`` compute these,
``kernels`` single convolutions. Below are ``ops`` (the operations), ``threads`` (helper threads and call queue) and
``codegen`` (generated vector code).
"""
