"""The analyses, one module each: ``NAME``, ``HELP`` and ``analyse(sample) -> Result``."""
