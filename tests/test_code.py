"""Code by what it says: files of classes and functions, cells of notebooks, and what is in none."""

import linecache
import sys
from functools import partial
from types import ModuleType

from torch import nn

from zoo.code import code_of

CODE = """
class Mine(Base):
    def forward(self):
        return 1

def make():
    return Mine()
"""


def written(path, code=CODE, base=nn.Identity):
    module = ModuleType(path.stem)
    module.__file__, module.Base = str(path), base
    path.write_text(code)
    exec(compile(code, path, "exec"), vars(module))
    sys.modules[path.stem] = module
    return module


def test_a_file_counts_and_not_where_it_lies(tmp_path):
    first = written(tmp_path / "mine_a.py")
    of = code_of(first.make)
    assert of == code_of(partial(first.make, 1)) == code_of(written(tmp_path / "mine_b.py").make)
    assert of != code_of(written(tmp_path / "mine_c.py", f"{CODE}# changed").make)
    assert code_of(first.Mine) == code_of(first.Mine()) != of  # torch's own file counts too


def test_the_file_of_a_base_counts(tmp_path):
    base = written(tmp_path / "base.py")
    of = code_of(written(tmp_path / "mine.py", base=base.Mine).Mine)
    (tmp_path / "base.py").write_text("changed")
    assert code_of(sys.modules["mine"].Mine) != of


def test_a_cell_of_a_notebook_counts_as_a_file():
    def run(cell, name):
        linecache.cache[name] = (len(cell), None, cell.splitlines(True), name)
        names = {"__name__": "no_module", "Base": nn.Identity}
        exec(compile(cell, name, "exec"), names)
        return code_of(names["Mine"], names["make"])

    first = run(CODE, "/tmp/cell/1.py")
    assert first == run(CODE, "/tmp/cell/2.py") is not None
    assert first != run(CODE.replace("return 1", "return 2"), "/tmp/cell/3.py")


def test_what_is_in_no_file_has_none():
    names = {"__name__": "no_module", "Base": nn.Identity}
    exec(CODE, names)
    assert code_of(names["make"]) is None
    assert code_of(nn.Linear, names["Mine"]) is None
