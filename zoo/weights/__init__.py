"""Where weights come from, how they are read safely, and how a model becomes a folder."""
