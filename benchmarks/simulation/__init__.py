"""Simulated particles against published numbers."""
