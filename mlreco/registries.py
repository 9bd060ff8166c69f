"""All registries of the program."""

from __future__ import annotations

from mlreco.registry import Registry


def registries() -> list[Registry]:
    """Return the registries; the registered objects are not imported."""
    from mlreco.iotools.collate import COLLATES
    from mlreco.iotools.factories import DATASETS
    from mlreco.iotools.parsers import PARSERS
    from mlreco.iotools.readers import READERS
    from mlreco.iotools.samplers import SAMPLERS
    from mlreco.models.factories import MODELS
    from mlreco.post_processing.factories import POST_PROCESSORS

    return [MODELS, POST_PROCESSORS, PARSERS, READERS, DATASETS, SAMPLERS, COLLATES]
