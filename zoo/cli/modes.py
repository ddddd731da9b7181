"""`zoo show MODEL --modes`: what trains and what is frozen in every train mode of each tower."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo.cli.console import out, table
from zoo.errors import MissingExtraError, SpecError, WeightsError

if TYPE_CHECKING:
    from zoo.assembly import Plan

__all__ = ["MODES", "counts_by_mode", "print_counts_by_mode"]

MODES: dict[str, Any] = {
    "full": "full",
    "{ last = 4 }": {"last": 4},
    "{ last = 1 }": {"last": 1},
    "{ lora = {} }": {"lora": {}},
    "head": "head",
    "frozen": "frozen",
}
"""As they are written in a spec, and as data."""


def counts_by_mode(planned: Plan) -> dict[str, Any]:
    """For each tower its number of blocks, and for each mode the counts, or why it cannot be."""
    return {side: _of_tower(replace(planned, sides=(side,)), side) for side in planned.sides}


def print_counts_by_mode(data: dict[str, Any]) -> None:
    """A table for each tower."""
    console = out()
    for side, tower in data.items():
        console.print()
        if tower["unknown"]:
            console.print(f"{side}.train: counts are not known yet: {tower['unknown']}")
            continue
        titles = ("encoder trains", "frozen", "head trains", "frozen")
        shown = table(f"{side}.train ({tower['blocks']} blocks)", *titles)
        for column in shown.columns[1:]:
            column.justify, column.no_wrap = "right", True
        reasons = []
        for mode, counts in tower["modes"].items():
            if isinstance(counts, str):
                reasons.append(f"{mode}: {counts}")
                continue
            parts = (counts[f"{side}.encoder"], counts[f"{side}.head"])
            numbers = [part[key] for part in parts for key in ("trainable", "frozen")]
            shown.add_row(mode, *(f"{number:,}" for number in numbers))
        console.print(shown)
        for reason in reasons:
            console.print(reason)


def _of_tower(planned: Plan, side: str) -> dict[str, Any]:
    from zoo.blocks import by_depth
    from zoo.spec import ModelSpec

    components = {
        path: each
        for path, each in planned.components.items()
        if path.partition(".")[0] in (side, "loss")
    }
    blocks: int | None = None
    modes: dict[str, Any] = {}
    for name, mode in MODES.items():
        data = planned.spec.model_dump()
        data[side]["train"] = mode
        tower = replace(planned, spec=ModelSpec.model_validate(data), components=components)
        try:
            model = tower.sketch()
        except WeightsError as error:
            return {"blocks": None, "modes": {}, "unknown": str(error)}
        except (SpecError, MissingExtraError) as error:
            modes[name] = str(error)
            continue
        if name == "full":
            blocks = len(by_depth(getattr(model, f"{side}_encoder").encoder)) - 2
        modes[name] = {
            path: {"trainable": trainable, "frozen": frozen}
            for path, (trainable, frozen) in model.parameter_counts().items()
        }
    return {"blocks": blocks, "modes": modes, "unknown": None}
