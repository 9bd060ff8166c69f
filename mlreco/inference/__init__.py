"""Inference over files."""

from mlreco.inference.recluster import recluster
from mlreco.inference.run import InferenceSummary, run_inference

__all__ = ["InferenceSummary", "recluster", "run_inference"]
