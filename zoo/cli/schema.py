"""`zoo schema`: the JSON schema of spec files, for editors."""

from zoo.cli.console import print_json

__all__ = ["schema"]


def schema() -> None:
    """Print the JSON schema of a spec file."""
    from zoo.spec import spec_schema

    print_json(spec_schema())
