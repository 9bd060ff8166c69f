"""Sparse convolutions on the CPU, compiled by numba.

The doors are ``backend`` (convolutions on torch tensors, packed weights, fused inference) and ``norm_function`` (batch
normalisation and LeakyReLU in training). Behind them: ``keys`` and ``walks`` (kernel maps), ``simd`` and ``tile``
(vector units, register tiles), ``panels`` (packed weights), ``forward`` and ``epilogue``, ``weight_gradient``,
``normalisation``, ``crew`` (threads), ``memory``, ``jit``.
"""
