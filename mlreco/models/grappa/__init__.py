"""The fragment graph as stages of the chain: fragments are cut, compared and scored."""

from mlreco.models.grappa.fragmenter import Fragmenter
from mlreco.models.grappa.stage import Grappa

__all__ = ["Fragmenter", "Grappa"]
