"""Training: the recipe, cached features of frozen towers, the loop."""
