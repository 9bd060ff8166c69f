"""Sparse convolutions on the CPU, compiled by numba.

The doors are ``backend`` (convolutions on torch tensors, packed weights, fused inference), ``norm_function`` (batch
normalisation and LeakyReLU in training) and ``block_function`` (a residual block in training). Behind them:
``keys``, ``walks`` and ``coarse_walk`` (kernel maps); ``simd``, ``vector_code``, ``tile``, ``strips`` and ``transpose``
(vector units, what stays in registers); ``panels`` (weights as the tiles read them); ``forward``, ``epilogue`` and
``weight_gradient``, and ``row_lists`` of what they read; ``column_moments``, ``norm_kernels`` and ``normalisation``;
``crew``, ``board``, ``bell`` and ``shared_memory`` (threads); ``calls`` and ``thread_count`` (when and with how many
threads kernels run); ``memory``, ``jit``.
"""
