"""Numbers of the clusterers by class name: defaults, files, checks."""
