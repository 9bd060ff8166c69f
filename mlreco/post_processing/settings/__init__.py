"""Thresholds and parameters of the clusterers by class name: defaults, files, checks."""
