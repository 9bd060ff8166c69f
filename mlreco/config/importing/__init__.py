"""Configurations of lartpc_mlreco3d and SPINE made into configurations of this program."""

from mlreco.config.importing.run import Imported, import_config

__all__ = ["Imported", "import_config"]
