"""Options that several verbs share."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "Overrides"]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Change the spec, as in --set image.head=linear. May be repeated.",
    ),
]
