"""Training: loop, checkpoints, logs."""

from mlreco.training.train import train

__all__ = ["train"]
