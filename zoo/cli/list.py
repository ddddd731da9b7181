"""`zoo list`: what there is, and where it came from."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.listing import KIND_HELP, PATTERN_HELP, STRICT_HELP, print_list
from zoo.cli.options import AsJson

__all__ = ["list_names"]


def list_names(
    pattern: Annotated[str | None, typer.Argument(help=PATTERN_HELP)] = None,
    kind: Annotated[str | None, typer.Option(help=KIND_HELP)] = None,
    as_json: AsJson = False,
    strict: Annotated[bool, typer.Option(help=STRICT_HELP)] = False,
) -> None:
    """List components, named models and datasets with their origins. Imports none of them."""
    raise typer.Exit(print_list(pattern, kind, as_json=as_json, strict=strict))
