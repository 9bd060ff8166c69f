"""Inference: events of files through the chain and the post-processing, into output files."""

from mlreco.inference.recluster import recluster
from mlreco.inference.run import InferenceSummary, run_inference

__all__ = ["InferenceSummary", "recluster", "run_inference"]
