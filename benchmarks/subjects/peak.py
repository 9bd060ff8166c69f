"""The peak of single precision alone."""

from __future__ import annotations

from benchmarks.fma_peak import measure

TITLE = "What the vector units can do"

__all__ = ["TITLE", "measure"]
