"""The light paths stay light: listing imports no deep-learning library, and is quick."""

import subprocess
import sys
import time

import pytest

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


def test_public_face():
    import zoo

    for name in zoo.__all__:
        assert getattr(zoo, name) is not None
    assert set(zoo.__all__) < set(dir(zoo))
    assert zoo.__version__
    with pytest.raises(AttributeError, match="module 'zoo' has no attribute 'biuld'"):
        zoo.biuld  # noqa: B018
