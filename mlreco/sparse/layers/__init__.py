"""Layers made of sparse convolutions, which engines compute in one go where they can."""
