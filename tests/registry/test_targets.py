"""Targets that are missing are found without importing; what cannot be told is believed."""

import sys

import pytest

from zoo.errors import RegistryError
from zoo.registry.targets import Targets


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes modules that must not be imported."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(files: dict[str, str]) -> None:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{text}\n")

    return write


@pytest.mark.parametrize(
    "source",
    [
        "def create(): ...",
        "async  def create(): ...",
        "class create(object): ...",
        "create = 1",
        "create: int = 1",
        "a, (create, *b) = 1, (2, 3)",
        "a = create = 2",
        "from os import path as create",
        "import create.part",
        "if True:\n    pass\nelse:\n    def create(): ...",
        "try:\n    import nothing\nexcept ImportError:\n    create = None",
        "with open('x') as create: ...",
        "for create in 'x': ...",
        "print(create := 5)",
        "match 1:\n    case create: ...",
        "def make():\n    global create\n    create = 1",
        "from os.path import *",
        "def __getattr__(name): ...",
        "globals()['create'] = 1",
        "import sys\nsys.modules[__name__] = object()",
        "exec('create = 1')",
        "class A:\n    def create(self): ...",
    ],
)
def test_a_target_that_is_there_or_may_be(write, source):
    write({"zoo_there.py": source})
    Targets().check("zoo_there:create")
    assert "zoo_there" not in sys.modules


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("def craete(): ...", r"'zoo_lacks' has no 'create'. Did you mean 'craete'\?"),
        ("'to create one'", r"has no 'create'\."),
        ("x = 'create'  # create", r"has no 'create'\."),
        ("import sys\nsys.create = 1", r"has no 'create'\."),
        ("", r"has no 'create'\."),
        ("def other(:", r"'zoo_lacks' cannot be imported: .*, line 1"),
    ],
)
def test_a_target_that_is_not_there(write, source, reason):
    write({"zoo_lacks.py": source})
    with pytest.raises(RegistryError, match=reason):
        Targets().check("zoo_lacks:create")


@pytest.mark.parametrize("target", ["", ":x", "x:", "a.b", "a..b:c", ".a:b", "a b:c", "a:1"])
def test_what_is_no_target(target):
    with pytest.raises(RegistryError, match="write 'module:attribute'"):
        Targets().check(target)


def test_modules_inside_packages(write):
    write({"zoo_pack/__init__.py": "raise SystemExit", "zoo_pack/deep/inner.py": "create = 1"})
    targets = Targets()
    targets.check("zoo_pack.deep.inner:create")  # deep has no __init__.py
    targets.check("zoo_pack.deep.inner:create.method")
    with pytest.raises(
        RegistryError, match=r"no module 'zoo_pack.depe.inner'. Did you mean 'deep'"
    ):
        targets.check("zoo_pack.depe.inner:create")
    with pytest.raises(
        RegistryError, match=r"no module 'zoo_pack.deep.iner'. Did you mean 'inner'"
    ):
        targets.check("zoo_pack.deep.iner:create")
    with pytest.raises(RegistryError, match=r"'zoo_pack.deep.inner' has no 'cretae'. Did you mean"):
        targets.check("zoo_pack.deep.inner:cretae")
    with pytest.raises(RegistryError, match=r"no module 'zoo_pack.deep.inner.more'\."):
        targets.check("zoo_pack.deep.inner.more:create")
    assert "zoo_pack" not in sys.modules


def test_a_package_that_has_modules_from_elsewhere_is_believed(write):
    source = "import pkgutil\n__path__ = pkgutil.extend_path(__path__, __name__)"
    write({"zoo_far/__init__.py": source})
    Targets().check("zoo_far.away:create")


def test_extension_modules_are_believed(write, tmp_path):
    write({"zoo_built/__init__.py": ""})
    (tmp_path / "zoo_built" / "core.abi3.so").touch()
    (tmp_path / "zoo_built" / "old.pyc").touch()
    Targets().check("zoo_built.core:create")
    Targets().check("zoo_built.old:create")
    Targets().check("math:sqrt")


def test_a_module_that_is_imported_already():
    Targets().check("os:getcwd")
    Targets().check("os.path:join")
    with pytest.raises(RegistryError, match=r"'textwrap' has no 'dednet'. Did you mean 'dedent'"):
        Targets().check("textwrap:dednet")
