"""Machine code that numba cannot generate: matrix tiles in vector registers, and atomic operations on shared memory."""
