"""Speed and memory, measured side by side with what else can do the same: ``python -m benchmarks --help``.

Every module of :mod:`benchmarks.subjects` measures one thing and yields :class:`benchmarks.measurement.Measurement`;
:mod:`benchmarks.peers` holds the networks of others, imported only where they are installed.
"""
