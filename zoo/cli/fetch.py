"""`zoo fetch`: all that a model needs, ahead of time."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table
from zoo.cli.options import AsJson, Overrides
from zoo.errors import ArgumentError

__all__ = ["fetch"]


def fetch(
    name: Annotated[
        str, typer.Argument(help="A model, a spec file, or the folder of a saved model.")
    ],
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
    from zoo.folder import MANIFEST, load

    sides = towers or SIDES
    if Path(name, MANIFEST).is_file():
        if changes or towers:
            raise ArgumentError(f"{name} is a saved model, which is fetched whole and as it is")
        err().print(f"fetching what {name} needs")
        model = load(name)
    else:
        planned = plan(name, overrides=overrides_from(changes), towers=sides)
        planned.check()
        err().print(f"fetching what {name} needs")
        model = planned.build()
        sides = planned.sides
    if model.text_encoder is not None:
        model.tokenize(["a picture"])  # a tokenizer is read when it is first needed
    found = {
        path: entry["weights"]
        for path, entry in model.provenance.items()
        if path.endswith(".encoder") and path.partition(".")[0] in sides
    }
    if as_json:
        print_json(found)
        return
    shown = table("part", "weights", "file", "revision", "sha256")
    for path, entry in found.items():
        cells = [str((entry or {}).get(key) or "") for key in ("source", "file", "revision")]
        shown.add_row(path, *cells, ((entry or {}).get("sha256") or "")[:16])
    out().print(shown)
