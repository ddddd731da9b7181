"""Whatever comes from elsewhere ends in success or in an error of zoo's own, and sets nothing off."""

import importlib
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hostile import FILES, SLOW, SPECS, Foreign, run, spread, watched

QUICK = 200
FEW = 25
MANY = 10_000


def check(kinds, kind: str, examples: int) -> None:
    outcomes = run(kind, examples)
    assert sum(outcomes.values()) >= examples
    assert set(outcomes) <= {
        "success", "SpecError", "ArgumentError", "UnknownNameError", "RegistryError", "WeightsError",
        "FolderError", "DataError",
    }  # fmt: skip
    assert outcomes["success"], f"all were refused, so that little of {kind} was tried: {outcomes}"


@pytest.mark.brief
@pytest.mark.parametrize("kind", SPECS)
def test_random_specs(kind):
    check(SPECS, kind, FEW if kind in SLOW else QUICK)


@pytest.mark.brief
@pytest.mark.parametrize("kind", FILES)
def test_damaged_files(kind):
    check(FILES, kind, FEW if kind in SLOW else QUICK)


@pytest.mark.long
@pytest.mark.parametrize("kind", SPECS)
def test_ten_thousand_random_specs(kind):
    check(SPECS, kind, spread(SPECS, MANY)[kind])


@pytest.mark.long
@pytest.mark.parametrize("kind", FILES)
def test_ten_thousand_damaged_files(kind):
    check(FILES, kind, spread(FILES, MANY)[kind])


def swallowed(act) -> None:
    """As a library might that goes on after whatever error."""
    try:
        act()
    except BaseException:
        return


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: os.system("true"), "os.system"),
        (lambda: subprocess.run(["true"], check=True), "subprocess.Popen"),
        (lambda: socket.socket(), "socket"),
        (lambda: exec("x = 1"), "exec|compile"),
        (lambda: eval("1 + 1"), "exec|compile"),
        (lambda: __import__("canary"), "import .*canary"),
        (lambda: importlib.import_module("canary"), "exec|compile"),
        (lambda: Path("/var/tmp/canary").write_text("x"), "open .*canary"),
    ],
)
def test_the_watch_sees_what_is_foreign(tmp_path, monkeypatch, act, said):
    (tmp_path / "canary.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Foreign, match=said), watched():
        swallowed(act)
    assert "canary" not in sys.modules
    assert not Path("/var/tmp/canary").exists()
