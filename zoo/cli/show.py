"""`zoo show`: one model or component, without its weights."""

from __future__ import annotations

import json
from inspect import Parameter
from typing import Annotated, Any

import typer

from zoo.cli.console import out, overrides_from, print_json, table
from zoo.cli.modes import counts_by_mode, print_counts_by_mode
from zoo.cli.options import AsJson, Overrides
from zoo.errors import UnknownNameError, WeightsError, suggestion
from zoo.registry import KINDS, Component, catalog, describe

__all__ = ["show"]


def show(
    name: Annotated[str, typer.Argument(help="A model, a spec file, or a component.")],
    changes: Overrides = None,
    modes: Annotated[
        bool, typer.Option("--modes", help="What trains in every train mode of a model.")
    ] = False,
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
            _print_component(name, entry)
        return
    data_of_model = _of_model(name, overrides_from(changes), modes)
    if as_json:
        print_json(data_of_model)
        return
    _print_model(data_of_model)
    if modes:
        print_counts_by_mode(data_of_model["modes"])


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
    parameters = arguments_of(resolved.load(), reserved, family=resolved.root.is_family)
    return {
        "kind": describe(component.kind),
        "summary": component.summary,
        "origin": str(component.origin),
        "target": resolved.root.target,
        "weights": resolved.weights,
        "arguments": {key: _default(parameter) for key, parameter in parameters.items()},
    }


def _default(parameter: Parameter) -> str:
    return "required" if parameter.default is Parameter.empty else repr(parameter.default)


def _print_component(name: str, entry: dict[str, Any]) -> None:
    shown = table(f"{entry['kind']} {name}", "")
    for key in ("summary", "origin", "target", "weights"):
        if entry[key]:
            shown.add_row(key, entry[key])
    for key, default in entry["arguments"].items():
        shown.add_row(f"args.{key}", default)
    out().print(shown)


def _of_model(name: str, overrides: dict[str, Any], modes: bool) -> dict[str, Any]:
    from huggingface_hub import constants

    from zoo.assembly import plan

    constants.HF_HUB_OFFLINE = True  # showing a model downloads nothing
    planned = plan(name, overrides=overrides)
    spec, counts, why = planned.check(), None, None
    try:
        counts = {
            path: {"trainable": trainable, "frozen": frozen}
            for path, (trainable, frozen) in planned.sketch().parameter_counts().items()
        }
    except WeightsError as error:
        why = str(error)
    data = {
        "spec": spec.model_dump(mode="json"),
        "origins": {path: str(each.component.origin) for path, each in planned.components.items()},
        "parameters": counts,
        "unknown": why,
    }
    return data | ({"modes": counts_by_mode(planned)} if modes else {})


def _print_model(data: dict[str, Any]) -> None:
    console = out()
    spec, counts = data["spec"], data["parameters"] or {}
    console.print(spec["name"] or "model", style="bold")
    console.print(f"{spec['summary']}\n" if spec["summary"] else "")
    sizes = table("part", "component", "trainable", "frozen", "origin")
    details = []
    for column in sizes.columns[2:4]:
        column.justify, column.no_wrap = "right", True
    for path, origin in data["origins"].items():
        side, _, part = path.partition(".")
        ref = spec["loss"] if path == "loss" else spec[side][part]
        count = counts.get(path, {"trainable": None, "frozen": None})
        numbers = ["" if number is None else f"{number:,}" for number in count.values()]
        sizes.add_row(path, ref["name"], *numbers, origin)
        if part == "encoder":
            details.append((f"{path}.weights", spec[side]["weights"]))
        details += [(f"{path}.args.{key}", value) for key, value in ref["args"].items()]
    if counts:
        totals = [sum(count[key] for count in counts.values()) for key in ("trainable", "frozen")]
        sizes.add_row("total", "", *(f"{total:,}" for total in totals), "")
    console.print(sizes)
    if data["unknown"]:
        console.print(f"parameter counts are not known yet: {data['unknown']}")
    console.print()
    settings = table("setting", "value")
    settings.add_row("embedding_dim", str(spec["embedding_dim"]))
    for side in ("image", "text"):
        train = spec[side]["train"]
        settings.add_row(f"{side}.train", train if isinstance(train, str) else json.dumps(train))
    for path, value in details:
        settings.add_row(path, json.dumps(value))
    console.print(settings)
