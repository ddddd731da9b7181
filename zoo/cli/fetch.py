"""`zoo fetch`: all that a model needs, ahead of time."""

from __future__ import annotations

from typing import Annotated

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table
from zoo.cli.options import AsJson, Overrides

__all__ = ["fetch"]


def fetch(
    name: Annotated[str, typer.Argument(help="A model, or a spec file.")],
    changes: Overrides = None,
    towers: Annotated[
        list[str] | None, typer.Option("--tower", help="image or text; both when not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Bring weights and tokenizer of a model to this machine, and show that it builds from them.

    After it, the same model builds without a network.
    """
    from zoo.assembly import SIDES, plan

    planned = plan(name, overrides=overrides_from(changes), towers=towers or SIDES)
    planned.check()
    err().print(f"fetching what {name} needs")
    model = planned.build()
    if model.text_encoder is not None:
        model.tokenize(["a picture"])  # a tokenizer is read when it is first needed
    found = {
        path: entry["weights"]
        for path, entry in model.provenance.items()
        if path.endswith(".encoder") and path.partition(".")[0] in planned.sides
    }
    if as_json:
        print_json(found)
        return
    shown = table("part", "weights", "file", "revision", "sha256")
    for path, entry in found.items():
        cells = [str((entry or {}).get(key) or "") for key in ("source", "file", "revision")]
        shown.add_row(path, *cells, ((entry or {}).get("sha256") or "")[:16])
    out().print(shown)
