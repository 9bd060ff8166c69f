"""Inference over files."""

from mlreco.inference.run import InferenceSummary, run_inference

__all__ = ["InferenceSummary", "run_inference"]
