"""Code that numba is not asked to write: tiles that fill the vector registers, and words shared by threads."""
