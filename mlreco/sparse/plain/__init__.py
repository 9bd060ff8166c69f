"""Sparse layers in plain torch: the reference for other engines, and the path for dtypes that these do not take."""
