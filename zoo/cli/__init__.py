"""The `zoo` command, one file a verb."""
