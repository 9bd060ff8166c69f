"""Productions: many files through one chain, on one machine or many, each event exactly once."""

from mlreco.production.manifest import Manifest, read_manifest
from mlreco.production.run import produce
from mlreco.production.shards import parse_shard

__all__ = ["Manifest", "parse_shard", "produce", "read_manifest"]
