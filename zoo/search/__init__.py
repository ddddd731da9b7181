"""Finding pictures by text."""
