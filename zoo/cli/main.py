"""The verbs of the `zoo` command."""

import typer

from zoo.cli.bench import bench
from zoo.cli.cache import cache
from zoo.cli.check import check
from zoo.cli.compare import compare
from zoo.cli.console import run
from zoo.cli.data import data
from zoo.cli.eval import evaluate
from zoo.cli.fetch import fetch
from zoo.cli.list import list_names
from zoo.cli.new import new
from zoo.cli.plugins import plugins
from zoo.cli.quickstart import quickstart
from zoo.cli.report import report
from zoo.cli.schema import schema
from zoo.cli.search import search
from zoo.cli.show import show
from zoo.cli.train import train

__all__ = ["app", "main"]

app = typer.Typer(
    name="zoo",
    help="A zoo of CLIP-style image-text models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(list_names)
for verb in (
    show,
    check,
    schema,
    plugins,
    fetch,
    train,
    report,
    compare,
    bench,
    search,
    quickstart,
):
    app.command()(verb)
app.command("eval")(evaluate)
app.add_typer(new, name="new")
app.add_typer(cache, name="cache")
app.add_typer(data, name="data")


def main() -> None:
    """Run the `zoo` command: exit status 0, 1 for a request that failed, 2 for wrong usage."""
    run(app)
