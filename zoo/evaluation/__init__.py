"""Judging models: retrieval between pictures and texts."""
