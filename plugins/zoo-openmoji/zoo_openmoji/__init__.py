"""OpenMoji as image-text pairs."""
