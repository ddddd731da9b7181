"""Projection heads for clip-zoo."""
