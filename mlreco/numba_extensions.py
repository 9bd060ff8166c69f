"""What other packages add to numba."""

from __future__ import annotations


def leave_out_numba_extensions() -> bool:
    """Have numba import no extensions of other packages before it compiles or loads a kernel.

    No kernel here needs any; awkward, which comes with the reader of ROOT files, alone takes a fifth of a second. It is
    for programs: who uses mlreco as a library may want the extensions for kernels of their own.

    Returns:
        whether numba has that switch.
    """
    from numba.core import entrypoints

    if not hasattr(entrypoints, "_already_initialized"):
        return False
    entrypoints._already_initialized = True
    return True
