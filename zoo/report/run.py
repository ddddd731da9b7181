"""The report of a run, from what is in its folder."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from markupsafe import Markup

from zoo.errors import FolderError
from zoo.report.axes import Scale, readable
from zoo.report.page import Section, charts, code, facts, gallery, notes, page, table
from zoo.report.plots import Bar, Line, interval_chart, line_chart
from zoo.training.guards import Advice, read_advice
from zoo.training.run_folder import RunFolder

__all__ = ["run_report", "write_report"]

_DIRECTIONS = {"image_to_text": "image to text", "text_to_image": "text to image"}


def write_report(folder: str | Path) -> Path:
    """Write `report.html` into the folder of a run, whether it is over or was broken off.

    Raises:
        FolderError: there is no run in the folder, or a file of it cannot be read.
    """
    run = RunFolder(folder)
    written = run_report(run)
    run.report.write_text(written, "utf-8")
    return run.report


def run_report(run: RunFolder) -> str:
    """The page as HTML.

    Raises:
        FolderError: as `write_report`.
    """
    if not run.holds_run:
        raise FolderError(f"{run.path}: holds no run; give the folder that zoo train --out named")
    log, times = _lines(run.log), _lines(run.timing)
    results = _read(run.results) if run.results.exists() else {}
    about = _read(run.about)
    about = {**about, **about.get("run", {}), **results}
    steps = [line for line in log if "loss" in line]
    judged = [line for line in log if "validation" in line]
    advice = read_advice(run.advice)
    sections = [
        Section("Outcome", list(_outcome(results, steps, times, advice))),
        Section("Curves", list(_curves(steps, judged, times, about))),
        Section("Samples of retrieval", list(_samples(results))),
        Section("Pictures that could not be read", list(_unreadable(run))),
        Section("Recipe and spec", list(_spec(about))),
        Section("Environment", [facts(results["environment"])] if "environment" in results else []),
    ]
    data = results.get("data", {})
    return page(
        f"Training of {results.get('model', run.path.name)}",
        [section for section in sections if section.parts],
        lead=_lead(results, steps, times),
        footer=f"Pictures: {data['attribution']}; licence {data['licence']}." if data else "",
    )


def _lead(
    results: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    times: Sequence[Mapping[str, Any]],
) -> str:
    """How many steps, and what all of them took, in however many sittings."""
    on = f" on {results['data']['name']}" if "data" in results else ""
    made = f"{steps[-1]['step']:,} steps" if steps else "No step"
    ends = [line["step"] for line in times]
    counts = [end - before for before, end in zip([0, *ends], ends, strict=False)]
    seconds = sum(line["seconds"] * count for line, count in zip(times, counts, strict=True))
    lasted = f" in {_lasting(seconds)}" if ends else ""
    return f"{made}{on}{lasted}."


def _outcome(
    results: Mapping[str, Any],
    steps: Sequence[Mapping[str, Any]],
    times: Sequence[Mapping[str, Any]],
    advice: Sequence[Advice],
) -> Iterator[str]:
    if "stopped" in results:
        yield notes([("The run was stopped", results["stopped"])], kind="error")
    elif "test" not in results:
        yield notes([("The run is not over", "This is how far it got.")])
    for each in advice:
        if not (each.stops and "stopped" in results):
            yield notes([(f"Step {each.step:,}: {each.name}", each.text)])
    if "test" in results:
        yield from _recall(results["test"], results["split"])
    if steps:
        last = steps[-1]
        rates = [line["pairs_per_second"] for line in times]
        known = {
            "steps": f"{last['step']:,}",
            "epochs": f"{last['epoch']:,}",
            "loss": readable(last["loss"]),
            "temperature": "" if last["temperature"] is None else readable(last["temperature"]),
            "pairs a second": f"{statistics.median(rates):,.0f}" if rates else "",
            "memory": f"{max(line['memory_gb'] for line in times):.2f} GB" if times else "",
            "precision": results.get("precision", ""),
            "parameters that train": f"{results['trainable']:,}" if "trainable" in results else "",
        }
        yield facts({name: value for name, value in known.items() if value})


def _recall(found: Mapping[str, Any], split: str) -> Iterator[str]:
    bars = [
        Bar(f"{title}, {name}", each["value"], each["low"], each["high"], title)
        for side, title in _DIRECTIONS.items()
        for name, each in found[side].items()
        if name.startswith("recall@")
    ]
    rows = [
        [name.replace("_", " "), *(_interval(name, found[side][name]) for side in _DIRECTIONS)]
        for name in found["image_to_text"]
    ]
    yield interval_chart(
        f"Retrieval among {found['count']:,} concepts of the split {split}",
        bars,
        x="recall and its 95% interval",
        scale="percent",
    )
    yield table(
        ["metric", *_DIRECTIONS.values()],
        rows,
        caption="95% intervals are of a bootstrap over pictures.",
    )


def _interval(name: str, each: Mapping[str, Any]) -> str:
    def written(value: float) -> str:
        return f"{value:.1%}" if name.startswith("recall@") else readable(value)

    if each["low"] is None or each["low"] == each["high"]:
        return written(each["value"])
    return f"{written(each['value'])} ({written(each['low'])}–{written(each['high'])})"


def _curves(
    steps: Sequence[Mapping[str, Any]],
    judged: Sequence[Mapping[str, Any]],
    times: Sequence[Mapping[str, Any]],
    about: Mapping[str, Any],
) -> Iterator[str]:
    drawn = []

    def draw(title: str, lines: Sequence[Line], scale: Scale = "linear") -> None:
        lines = [line for line in lines if line.points]
        if lines:
            drawn.append(line_chart(title, lines, x="step", scale=scale))

    losses = _points(steps, "loss")
    falls = bool(losses) and 0 < 20 * min(y for _, y in losses) < max(y for _, y in losses)
    draw("Loss", [Line("training", losses)], "log" if falls else "linear")
    names = list(dict.fromkeys(name for line in judged for name in line["validation"]))
    recalls = [
        Line(
            _DIRECTIONS.get(name, name),
            [
                (line["step"], line["validation"][name])
                for line in judged
                if name in line["validation"]
            ],
        )
        for name in names
    ]
    draw(f"Recall@1 on {about.get('judged_on', 'validation')}", recalls, "percent")
    draw("Learning rate", [Line("first group", _points(steps, "learning_rate"))])
    draw("Temperature", [Line("of the loss", _points(steps, "temperature"))])
    draw("Gradient norm, before clipping", [Line("all gradients", _points(steps, "grad_norm"))])
    draw("Throughput", [Line("pairs a second", _points(times, "pairs_per_second"))])
    if drawn:
        yield charts(drawn)


def _points(lines: Sequence[Mapping[str, Any]], name: str) -> list[tuple[float, float]]:
    return [(line["step"], line[name]) for line in lines if line.get(name) is not None]


def _samples(results: Mapping[str, Any]) -> Iterator[str]:
    shown = results.get("samples", [])
    for title, hits in (
        ("Captions that find their picture first", True),
        ("Captions that do not", False),
    ):
        chosen = [each for each in shown if (each["rank"] == 1) == hits]
        if chosen:
            yield Markup("<h3>{}</h3>").format(title)
            yield gallery(chosen)


def _unreadable(run: RunFolder) -> Iterator[str]:
    if run.unreadable.exists():
        text = run.unreadable.read_text("utf-8").strip()
        yield text.partition("\n")[0]
        yield code("Which", text)


def _spec(about: Mapping[str, Any]) -> Iterator[str]:
    recipe = about.get("recipe") or about.get("train")
    if recipe:
        yield code("Recipe", _json(recipe))
    if "spec" in about:
        rest = {key: value for key, value in about["spec"].items() if key != "train"}
        yield code("Spec", _json(rest))


def _json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False)


def _lasting(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    return str(timedelta(seconds=round(seconds)))


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; the last may be half written, where the run was killed."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8").split("\n")
    try:
        return [json.loads(line) for line in lines[:-1]]
    except ValueError as error:
        raise FolderError(f"{path}: is damaged: {error}") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise FolderError(f"{path}: is damaged: {error}") from error
    return found
