"""Particles of an event in cm and MeV: pure functions from voxels and instances to physics quantities."""
