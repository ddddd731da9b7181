"""Many models trained and judged in one way: a grid of cells, its results, which is better and why."""
