"""What numba takes from other packages."""

from __future__ import annotations

import sys

_LINEAR_ALGEBRA = "scipy.linalg"


def leave_out_numba_extensions() -> bool:
    """Have numba import nothing of other packages before it compiles or loads a kernel.

    No kernel here needs any: neither the extensions that packages bring (awkward, which comes with the reader of ROOT
    files, alone takes a fifth of a second) nor SciPy's linear algebra, which takes as long. It is for programs: who
    uses mlreco as a library may want them for kernels of their own.

    Returns:
        whether numba has the switch for extensions.
    """
    from numba.core import entrypoints

    has_switch = hasattr(entrypoints, "_already_initialized")
    if has_switch:
        entrypoints._already_initialized = True
    _prepare_to_compile()
    return has_switch


def _prepare_to_compile() -> None:
    """Have numba import what it compiles with, as if SciPy's linear algebra were not there unless it already is."""
    from numba.core.registry import cpu_target

    if _LINEAR_ALGEBRA in sys.modules:
        cpu_target.target_context.refresh()
        return
    sys.modules[_LINEAR_ALGEBRA] = None  # type: ignore[assignment]  # "not to be had", as the import system has it
    try:
        cpu_target.target_context.refresh()
    finally:
        del sys.modules[_LINEAR_ALGEBRA]
