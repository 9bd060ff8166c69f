"""Layers that the stages share."""
