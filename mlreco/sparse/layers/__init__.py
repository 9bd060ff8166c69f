"""Layers made of the convolutions that the engines compute as a whole."""
