"""The light paths stay light, and quick; floors import only from those below them."""

import ast
import re
import subprocess
import sys
import time
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "torchvision", "timm", "transformers", "numpy", "PIL", "pydantic", "packaging")


def loaded_by(code: str, looked_for: tuple[str, ...] = HEAVY) -> set[str]:
    probe = (
        f"import sys\n{code}\n"
        f"print([m for m in {looked_for!r} if m in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    return set(eval(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import zoo",
        "import zoo; zoo.available()",
        "import runpy\ntry: runpy.run_module('zoo.list', run_name='__main__')\nexcept SystemExit: pass",
        "import zoo.heads, zoo.losses, zoo.registry",
        "import zoo.cli.main",
    ],
)
def test_nothing_heavy_is_imported(code):
    assert loaded_by(code) == set()


@pytest.mark.parametrize("verb", ["list", "size", "prune"])
def test_a_look_at_the_caches_waits_for_no_torch(verb):
    code = f"""import sys
from zoo.cli.main import main
sys.argv = ["zoo", "cache", {verb!r}]
try: main()
except SystemExit as ended: assert not ended.code"""
    assert loaded_by(code, ("torch",)) == set()


@pytest.mark.parametrize(
    "code", ["from zoo import HookedComponent, hookimpl", "import zoo.registry.hook_process"]
)
def test_a_hook_module_does_not_wait_for_what_listing_needs(code):
    listing = ("tomllib", "importlib.metadata", "subprocess", "tempfile", "email", "rich", "typer")
    assert loaded_by(code, HEAVY + listing) == set()


def best_of(count: int, *command: str) -> float:
    seconds = []
    for _ in range(count):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.mark.alone
def test_budgets_with_room_for_a_busy_machine():
    assert best_of(5, sys.executable, "-m", "zoo.list") < 0.6
    empty = best_of(5, sys.executable, "-c", "pass")
    assert best_of(5, sys.executable, "-c", "import zoo") - empty < 0.12


def floors() -> dict[str, int]:
    """Packages and files to the row that CONTRIBUTING.md has them in, from the top."""
    rows = re.findall(r"^\| (`zoo/.*?) \|", (ROOT / "CONTRIBUTING.md").read_text(), re.MULTILINE)
    found = {
        name: number
        for number, row in enumerate(rows)
        for name in re.findall(r"`zoo/(\w+)(?:/|\.py)`", row)
    }
    return {"__init__": -1, **found}


def imported(node: ast.AST):
    """The modules of zoo that code imports, in functions too; not what only a type checker does."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0
        yield from (f"{node.module}.{each.name}" for each in node.names)
    for child in ast.iter_child_nodes(node):
        yield from imported(child)


def packages() -> dict[str, set[str]]:
    """Packages and files of zoo, each to the others that it imports."""
    graph = defaultdict(set)
    names = {path.stem for path in (ROOT / "zoo").iterdir()}
    for path in (ROOT / "zoo").rglob("*.py"):
        name = path.relative_to(ROOT / "zoo").with_suffix("").parts[0]
        for module in imported(ast.parse(path.read_text())):
            top, _, rest = module.partition(".")
            other = rest.partition(".")[0]
            if top == "zoo" and other != name:
                graph[name].add(other if other in names else "__init__")
    return graph


def test_floors_import_only_from_those_below():
    floor = floors()
    upwards = [
        f"{name} imports {other}"
        for name, others in packages().items()
        for other in others
        if floor[name] > floor[other]
    ]
    assert upwards == []


def test_no_packages_import_each_other():
    assert list(TopologicalSorter(packages()).static_order())


def test_public_face():
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert set(zoo.__all__) < set(dir(zoo))
    assert zoo.__version__
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'biuld'"):
        zoo.biuld  # noqa: B018
