"""`zoo show`: one model or component, without its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo.cli.console import AsJson, Overrides, out, overrides_from, print_json, table
from zoo.errors import UnknownNameError, WeightsError, suggestion
from zoo.registry import KINDS, Component, catalog, describe

if TYPE_CHECKING:
    from zoo.assembly import Plan

__all__ = ["show"]


def show(
    name: Annotated[str, typer.Argument(help="A model, a spec file, or a component.")],
    changes: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's resolved spec, origins and parameter counts, or what a component takes."""
    from zoo.spec_layers import is_spec_file

    components = [] if is_spec_file(name) else _components(name)
    if components:
        data = [_of_component(component, name) for component in components]
        if as_json:
            print_json(data)
        for entry in [] if as_json else data:
            shown = table(f"{entry.pop('kind')} {name}", "")
            for key, value in entry.items():
                shown.add_row(key, str(value))
            out().print(shown)
        return
    data_of_model = _of_model(name, overrides_from(changes))
    if as_json:
        print_json(data_of_model)
    else:
        _print_model(data_of_model)


def _components(name: str) -> list[Component]:
    """The components of this name; none if it is a model's."""
    names = catalog()
    found: list[Component] = []
    known: list[str] = []
    for kind in KINDS:
        known += [names.shown_name(component) for component in names.select(kind)]
        try:
            match = names.find(kind, name)
        except UnknownNameError:
            continue
        if kind == "models":
            return []
        found.append(match.component)
    if not found:
        raise UnknownNameError(f"nothing is called {name!r}.{suggestion(name, known)}")
    return found


def _of_component(component: Component, name: str) -> dict[str, Any]:
    from zoo.registry.resolve import arguments_of, resolve

    resolved = resolve(catalog(), component.kind, name)
    reserved = frozenset({"weights", "in_dim", "out_dim"})
    parameters = arguments_of(resolved.load(), reserved)
    if resolved.rest is not None or resolved.root.is_family:
        parameters.pop(next(iter(parameters)), None)
    return {
        "kind": describe(component.kind),
        "summary": component.summary,
        "origin": str(component.origin),
        "target": resolved.root.target,
        "weights": resolved.weights,
        "arguments": [str(parameter) for parameter in parameters.values()],
    }


def _of_model(name: str, overrides: dict[str, Any]) -> dict[str, Any]:
    from huggingface_hub import constants

    from zoo.assembly import plan

    constants.HF_HUB_OFFLINE = True  # showing a model downloads nothing
    planned = plan(name, overrides=overrides)
    planned.check()
    spec, counts, why = _sized(planned)
    return {
        "spec": spec,
        "origins": {path: str(each.component.origin) for path, each in planned.components.items()},
        "parameters": counts,
        "unknown": why,
    }


def _sized(planned: Plan) -> tuple[dict[str, Any], dict[str, Any] | None, str | None]:
    """The filled-in spec and the parameter counts, from a model without memory or weights."""
    try:
        model = planned.sketch()
    except WeightsError as error:
        return planned.spec.model_dump(mode="json"), None, str(error)
    counts = {
        path: {"trainable": trainable, "frozen": frozen}
        for path, (trainable, frozen) in model.parameter_counts().items()
    }
    assert model.spec is not None
    spec = model.spec.model_dump(mode="json")
    for side in ("image", "text"):
        preset = planned.components[f"{side}.encoder"].weights
        tag = getattr(planned.spec, side).weights
        spec[side]["weights"] = preset or tag if tag == "default" else tag
    return spec, counts, None


def _print_model(data: dict[str, Any]) -> None:
    console = out()
    spec, counts = data["spec"], data["parameters"] or {}
    console.print(f"{spec['name'] or 'model'}  {spec['summary']}", style="bold")
    console.print(f"embedding_dim {spec['embedding_dim']}\n")
    shown = table("part", "component", "arguments", "weights", "origin", "trainable", "frozen")
    for column in shown.columns[-2:]:
        column.justify = "right"
    for path, origin in data["origins"].items():
        side, _, part = path.partition(".")
        ref = spec["loss"] if path == "loss" else spec[side][part]
        weights = (spec[side]["weights"] or "none") if part == "encoder" else ""
        count = counts.get(path)
        shown.add_row(
            path,
            ref["name"],
            ", ".join(f"{key}={value}" for key, value in ref["args"].items()),
            weights,
            origin,
            f"{count['trainable']:,}" if count else "",
            f"{count['frozen']:,}" if count else "",
        )
    if counts:
        totals = [sum(count[key] for count in counts.values()) for key in ("trainable", "frozen")]
        shown.add_row("total", "", "", "", "", *(f"{total:,}" for total in totals))
    console.print(shown)
    for side in ("image", "text"):
        console.print(f"{side} trains: {spec[side]['train']}")
    if data["unknown"]:
        console.print(f"parameter counts are not known yet: {data['unknown']}")
