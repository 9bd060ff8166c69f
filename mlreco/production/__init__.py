"""Productions: many files through one chain, on one machine or many, each event exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlreco.on_demand import on_demand

if TYPE_CHECKING:
    from mlreco.production.manifest import Manifest, read_manifest
    from mlreco.production.run import produce
    from mlreco.production.shards import parse_shard

_HOMES = {
    "Manifest": "mlreco.production.manifest",
    "parse_shard": "mlreco.production.shards",
    "produce": "mlreco.production.run",
    "read_manifest": "mlreco.production.manifest",
}

__all__ = ["Manifest", "parse_shard", "produce", "read_manifest"]

__getattr__ = on_demand(__name__, _HOMES)
