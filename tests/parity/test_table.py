"""docs/parity.md has a row for each comparison, and none that is too far off."""

import importlib.util
import re
import sys
from pathlib import Path

import pytest
from parity.compared import TOLERANCE

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def command():
    spec = importlib.util.spec_from_file_location("parity_command", ROOT / "docs" / "parity.py")
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found  # where dataclasses look
    spec.loader.exec_module(found)
    yield found
    del sys.modules[spec.name]


def test_the_table_is_of_these_comparisons(command):
    text = (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| (.+) \| (.+) \| (\S+) \| ([\d.e-]+) \|$", text, re.MULTILINE)
    known = [(row.name, row.beside) for part in command.parts() for row in part.rows]
    assert [each[:2] for each in shown] == known, "run docs/parity.py"
    assert all(float(difference) <= TOLERANCE for *_, difference in shown)


def test_a_page_is_made_of_what_was_found(command):
    figures = command.Figures("3.1", 2.4e-7)
    found = [(part, [figures] * len(part.rows)) for part in command.parts()]
    text = command.page(found)
    assert "## Tokenizers\n" in text
    assert "| resnet: `resnet18` | the input of `fc` | 3.1 | 2e-07 |\n" in text
