"""`zoo check`: whether a spec is right, before anything is fetched."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.console import overrides_from
from zoo.cli.options import Overrides
from zoo.errors import WeightsError

__all__ = ["check"]


def check(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="A .toml or .json file, or a model.")],
    changes: Overrides = None,
) -> None:
    """Check a spec: names, arguments, types, and that its parts fit. No weights are loaded."""
    from huggingface_hub import constants

    from zoo.assembly import plan

    constants.HF_HUB_OFFLINE = True
    planned = plan(spec, overrides=overrides_from(changes))
    planned.check()
    try:
        planned.sketch()
    except WeightsError as error:
        print(f"{spec}: names and arguments are valid; sizes are not checked, because {error}")
        return
    print(f"{spec}: valid")
