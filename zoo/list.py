"""`python -m zoo.list`: the same as `zoo list`, without loading the other verbs."""

from zoo.cli.console import run
from zoo.cli.list import list_names

__all__: list[str] = []

if __name__ == "__main__":
    import typer

    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command(name="python -m zoo.list")(list_names)
    run(app)
