"""Sparse convolutions on the CPU, compiled by numba.

The doors are ``backend`` (convolutions on torch tensors, packed weights, fused inference), and what is one function in
training: ``norm_function`` (batch normalisation and LeakyReLU), ``activated_function`` (the same and a convolution) and
``block_function`` (a residual block). Behind them: ``keys``, ``walks`` and ``coarse_walk`` (kernel maps); ``simd``,
``vector_code``, ``tile``, ``strips`` and ``transpose`` (vector units, what stays in registers); ``panels`` (weights as
the tiles read them); ``forward`` with ``convolution_kernels`` and ``epilogue``, ``weight_gradient`` with its kernels,
and ``row_lists`` of what they read; ``normalisation``, ``norm_kernels`` and ``column_moments``; ``crew``, ``board``,
``bell``, ``queue`` and ``shared_memory`` (threads); ``calls`` and ``thread_count`` (when and with how many threads
kernels run); ``memory``, ``jit``.

Python checks shapes, finds room and fills a job, a list of numbers; compiled code does all the rest of a call.
"""
