"""Physics analyses of output files: tables, figures and numbers."""
