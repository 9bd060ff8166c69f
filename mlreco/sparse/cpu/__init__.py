"""The CPU engine: sparse layers on float32, compiled by numba.

``engine`` decides when a layer is computed as a whole; ``training`` and ``inference`` compute these layers, ``kernels``
single convolutions. Below are ``ops`` (the operations), ``threads`` (helper threads and call queue) and ``codegen``
(generated vector code).
"""
