"""Sparse convolutions on the CPU, compiled by numba.

The doors are ``backend`` (convolutions on torch tensors, packed weights, fused inference) and ``norm_function`` (batch
normalisation and LeakyReLU in training). Behind them: ``keys``, ``walks`` and ``coarse_walk`` (kernel maps), ``simd``,
``vector_code``, ``tile`` and ``transpose`` (vector units, register tiles), ``panels`` (packed weights), ``forward``,
``epilogue`` and ``weight_gradient``, ``normalisation``, ``crew`` (threads), ``memory``, ``jit``.
"""
