"""Reconstruction of particles in 3D images of liquid-argon time projection chambers."""

__version__ = "0.1.0"
