"""The stages of the fragment graph: ``fragmenter`` makes fragments and their features, ``grappa`` scores them."""

from mlreco.models.grappa.fragmenter import Fragmenter
from mlreco.models.grappa.stage import Grappa

__all__ = ["Fragmenter", "Grappa"]
