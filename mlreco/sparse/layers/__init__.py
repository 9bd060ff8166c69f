"""Layers made of sparse convolutions, which an engine computes as a whole where it can."""
