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

    found = [] if is_spec_file(name) else _found(name)
    components = [each for each in found if each.kind != "models"]
    is_model = not components or len(components) < len(found)
    if (changes or modes) and not is_model:
        kinds = " and ".join(describe(each.kind) for each in components)
        raise typer.BadParameter(f"--set and --modes are for models, and {name!r} is a {kinds}")
    data = [_of_component(component, name) for component in components]
    of_model = _of_model(name, overrides_from(changes), modes) if is_model else {}
    if of_model and data:
        of_model["components"] = data
    if as_json:
        print_json(of_model or data)
        return
    if of_model:
        _print_model(of_model)
    if modes:
        print_counts_by_mode(of_model["modes"])
    for entry in data:
        _print_component(name, entry)


def _found(name: str) -> list[Component]:
    """The model and the components of this name."""
    names = catalog()
    found: list[Component] = []
    known: list[str] = []
    for kind in KINDS:
        known += [names.shown_name(component) for component in names.select(kind)]
        try:
            found.append(names.find(kind, name).component)
        except UnknownNameError:
            continue
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
