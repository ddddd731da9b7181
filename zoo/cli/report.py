"""`zoo report`: the report of a run, made again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import out

__all__ = ["report"]


def report(
    run: Annotated[Path, typer.Argument(help="The folder of a run, as zoo train --out named it.")],
) -> None:
    """Write report.html into the folder of a run, which may be under way, over, or broken off."""
    from zoo.report.run import write_report

    out().print(write_report(run))
