"""Particles grouped to interactions: which belong together, which come from the vertex, out of which others came."""
