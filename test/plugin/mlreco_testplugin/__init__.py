"""What another package adds to mlreco: see the entry points in ``setup.py``."""
