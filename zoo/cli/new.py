"""`zoo new`: a plugin to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import out
from zoo.scaffold import PluginKind, Scaffold, write_plugin

__all__ = ["new"]

new = typer.Typer(help="Write a plugin to start from.", no_args_is_help=True)


@new.command()
def plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Of the distribution, such as zoo-mine.")
    ],
    kind: Annotated[PluginKind, typer.Option(help="What the plugin adds.")],
    folder: Annotated[
        Path, typer.Option(metavar="PARENT", help="Where the plugin's folder goes.")
    ] = Path(),
) -> None:
    """Write a complete plugin, which passes its own tests as it is."""
    written = write_plugin(name, kind, folder)
    edit = written / Scaffold(name, kind).edit
    out().print(
        f"wrote {written}; what it does is in {edit}, for you to replace. Next:\n"
        f"  cd {shlex.quote(str(written))}\n"
        "  pip install -e '.[test]'\n"
        f"  zoo check plugin {name} && pytest",
        soft_wrap=True,
    )
