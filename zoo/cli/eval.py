"""`zoo eval`: retrieval, zero-shot classification, linear probe and k-NN, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from zoo.cli.console import err, out, overrides_from, print_json, table
from zoo.cli.options import AsJson, Overrides
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.data.columns import Columns
    from zoo.data.pairs import ImageTextDataset
    from zoo.evaluation.bootstrap import Estimate, Resampling
    from zoo.evaluation.classification import Classification
    from zoo.evaluation.suite import Suite

__all__ = ["evaluate"]

_SHOWN_SIMILAR = 10


def evaluate(
    model: Annotated[str, typer.Argument(help="A saved model, a named one, or a spec file.")],
    data: Annotated[
        str, typer.Option(help="What zoo train takes, or a folder with a folder a class.")
    ],
    split: Annotated[str, typer.Option(help="Of the dataset.")] = "test",
    image_column: Annotated[str | None, typer.Option(help="Of pictures, in a table.")] = None,
    caption_column: Annotated[str | None, typer.Option(help="Of captions, in a table.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of a table's pictures, if not its own.")
    ] = None,
    retrieval: Annotated[bool, typer.Option("--retrieval", help="Pictures and captions.")] = False,
    zero_shot: Annotated[bool, typer.Option("--zero-shot", help="Classes by their names.")] = False,
    linear_probe: Annotated[
        bool, typer.Option("--linear-probe", help="Classes by a linear classifier.")
    ] = False,
    knn: Annotated[bool, typer.Option("--knn", help="Classes by the nearest pictures.")] = False,
    top_k: Annotated[
        list[int] | None, typer.Option("-k", min=1, help="Of recall@k and accuracy@k; repeat it.")
    ] = None,
    per_concept: Annotated[
        bool, typer.Option("--per-concept", help="One picture for each concept.")
    ] = False,
    first_caption: Annotated[
        bool, typer.Option("--first-caption", help="One caption for each picture.")
    ] = False,
    prompts: Annotated[
        str, typer.Option(help="A set of prompts, or a .toml or .json file.")
    ] = "name",
    scale: Annotated[
        float | None, typer.Option(help="Of zero-shot's softmax; 1 / the loss's temperature.")
    ] = None,
    train_split: Annotated[str, typer.Option(help="What probe and k-NN learn from.")] = "train",
    probe_c: Annotated[
        float | None, typer.Option(help="Inverse of the probe's penalty; else by cross-validation.")
    ] = None,
    neighbours: Annotated[int, typer.Option(help="Of k-NN.")] = 20,
    draws: Annotated[int, typer.Option(help="Bootstrap draws.")] = 1000,
    level: Annotated[float, typer.Option(help="Of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, …")] = "cpu",
    folder: Annotated[Path | None, typer.Option("--out", help="Where pictures of it go.")] = None,
    changes: Overrides = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a model; without a choice, by retrieval, or zero-shot on a folder of classes."""
    asked = {
        "retrieval": retrieval,
        "zero_shot": zero_shot,
        "linear_probe": linear_probe,
        "knn": knn,
    }
    from zoo.data.columns import Columns
    from zoo.evaluation.bootstrap import Resampling
    from zoo.evaluation.prompts import load_prompts

    how, template = Resampling(draws, level, seed), load_prompts(prompts)
    if folder is not None and folder.exists() and not folder.is_dir():
        raise DataError(f"{folder}: not a folder, and the pictures go into one")
    dataset, of_classes = _opened(data, Columns(image_column, caption_column), images)
    if not any(asked.values()):
        asked["zero_shot" if of_classes else "retrieval"] = True
    dataset.split(split)  # before any work
    for note in dataset.notes:
        err().print(f"data    {note}")

    from zoo.cli.progress import progress_bars
    from zoo.evaluation.models import open_model
    from zoo.evaluation.suite import Suite
    from zoo.parameters import any_tensor
    from zoo.training.precision import choose

    wanted = _precision(precision)
    with err().status(f"opening {model}"):
        opened = open_model(model, overrides=overrides_from(changes), device=device)
    result: dict[str, Any] = {
        "model": model,
        "data": {
            "name": dataset.name,
            "split": split,
            "licence": dataset.licence,
            "attribution": dataset.attribution,
        },
        "precision": choose(wanted, any_tensor(opened).device),
        "intervals": {"level": level, "draws": draws, "seed": seed, "unit": "picture"},
    }
    with progress_bars() as (_, progress):
        suite = Suite(
            opened,
            dataset,
            split,
            progress,
            per_concept=per_concept,
            first_caption=first_caption,
            precision=wanted,
        )
        result["pictures"] = len(suite.pairs)
        drawn: dict[str, Classification] = {}
        if asked["retrieval"]:
            result["retrieval"] = _retrieval(suite, top_k or [1, 5, 10], how)
        ks = top_k or [1, 5]
        if asked["zero_shot"]:
            found = drawn["zero_shot"] = suite.zero_shot(template, scale=scale)
            result["zero_shot"] = {
                "prompts": prompts,
                "templates": len(template.templates),
                "scale": suite.scale if scale is None else scale,
                **_classified(found, ks, how),
            }
        if asked["linear_probe"]:
            probe = suite.linear_probe(train_split, c=probe_c)
            drawn["linear_probe"] = probe.classification
            result["linear_probe"] = {
                "c": probe.c,
                "converged": probe.converged,
                **_classified(probe.classification, ks, how),
            }
        if asked["knn"]:
            found = drawn["knn"] = suite.nearest_neighbours(train_split, k=neighbours)
            result["knn"] = {"neighbours": neighbours, **_classified(found, ks, how)}
    if folder is not None:
        written = _draw(suite, drawn, folder, retrieval=asked["retrieval"])
        result["drawn"] = [str(path) for path in written]
    if as_json:
        print_json(result)
        return
    _print(result)


def _opened(name: str, columns: Columns, images: Path | None) -> tuple[ImageTextDataset, bool]:
    """The dataset that `zoo train` opens, or a folder of classes; and whether it is one."""
    from zoo.data.class_folders import class_folders, is_class_folders
    from zoo.data.columns import Columns
    from zoo.data.sources import open_dataset

    if not is_class_folders(name):
        return open_dataset(name, columns, images=images), False
    if columns != Columns() or images is not None:
        raise DataError(f"{name} is a folder of classes, which has no table with columns to name")
    return class_folders(name), True


def _precision(said: str) -> Literal["auto", "fp32", "bf16"]:
    for each in ("auto", "fp32", "bf16"):
        if said == each:
            return each
    raise DataError(f"the precision is auto, fp32 or bf16, not {said!r}")


def _retrieval(suite: Suite, ks: list[int], how: Resampling) -> dict[str, Any]:
    found = suite.retrieval()
    return {
        "captions": found.captions,
        "captions_of_several_pictures": suite.shared_captions,
        **{way: _json(each) for way, each in found.estimates(ks, how).items()},
    }


def _classified(found: Classification, ks: list[int], how: Resampling) -> dict[str, Any]:
    return {
        "classes": len(found.classes),
        **_json(found.estimates(ks, how)),
        "per_class": found.per_class(),
    }


def _json(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
    return {name: each.as_json() for name, each in estimates.items()}


def _draw(
    suite: Suite, drawn: Mapping[str, Classification], folder: Path, *, retrieval: bool
) -> list[Path]:
    from zoo.data.pairs import one_per_concept
    from zoo.evaluation.pictures import draw_confusion, draw_retrieval, draw_similarity

    folder.mkdir(parents=True, exist_ok=True)
    written = [draw_confusion(each, folder / f"{name}.png") for name, each in drawn.items()]
    if retrieval:
        pictures = [pair.picture for pair in suite.pairs]
        written.append(
            draw_retrieval(
                suite.image_embeds,
                suite.text_embeds,
                suite.text_image,
                pictures,
                suite.captions,
                folder / "retrieval.png",
                footer=suite.dataset.attribution,
            )
        )
        first = {int(owner): row for row, owner in reversed(list(enumerate(suite.text_image)))}
        concepts = one_per_concept(suite.pairs)
        evenly = concepts[:: -(-len(concepts) // _SHOWN_SIMILAR)]
        some = [suite.pairs.index(pair) for pair in evenly]
        rows = [first[index] for index in some]
        written.append(
            draw_similarity(
                suite.image_embeds[some],
                suite.text_embeds[rows],
                [pictures[index] for index in some],
                [suite.captions[row] for row in rows],
                folder / "similarity.png",
                footer=suite.dataset.attribution,
            )
        )
    return written


def _print(result: Mapping[str, Any]) -> None:
    console, level = out(), result["intervals"]["level"]
    data = result["data"]
    console.print(
        f"{result['model']} on {data['name']}, {data['split']}: {result['pictures']} pictures"
    )
    if data["attribution"]:
        console.print(f"{data['attribution']}; licence {data['licence']}")
    console.print(f"in brackets, {level:.0%} intervals\n")
    if "retrieval" in result:
        found = result["retrieval"]
        ways = {way: found[way] for way in ("image_to_text", "text_to_image")}
        shown = table("retrieval", "image to text", "text to image")
        for name in ways["image_to_text"]:
            shown.add_row(name, *(_shown(name, each[name]) for each in ways.values()))
        console.print(shown)
        console.print(
            f"{found['captions']} captions; {found['captions_of_several_pictures']} of them are of "
            "several pictures, and right for one alone\n"
        )
    for task in ("zero_shot", "linear_probe", "knn"):
        if task not in result:
            continue
        found = result[task]
        shown = table(task.replace("_", " "), f"{found['classes']} classes")
        for name, value in found.items():
            if name not in ("classes", "per_class"):
                shown.add_row(name, _shown(name, value) if isinstance(value, dict) else str(value))
        console.print(shown)
        console.print()
        classes = table("class", "pictures", "recall", "precision", "taken for")
        worst = sorted(
            found["per_class"], key=lambda each: (each["recall"] is None, each["recall"] or 0)
        )
        for each in worst[:20]:
            shares = [
                "" if each[key] is None else f"{each[key]:.0%}" for key in ("recall", "precision")
            ]
            classes.add_row(each["class"], str(each["pictures"]), *shares, each["taken_for"] or "")
        if len(worst) > 20:
            classes.caption = f"the 20 worst of {len(worst)}; --json has all"
        console.print(classes)
        console.print()
    for path in result.get("drawn", []):
        err().print(f"wrote {path}")


def _shown(name: str, each: Mapping[str, float | None]) -> str:
    form = "{:.1f}" if name.endswith("_rank") else "{:.3f}" if name in ("map", "ece") else "{:.1%}"
    said = form.format(each["value"])
    if each["low"] is None or each["high"] is None:
        return said
    return f"{said}  [{form.format(each['low'])} to {form.format(each['high'])}]"
