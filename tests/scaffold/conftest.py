"""Plugins generated, installed with pip into a folder of their own, and used in other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Installed:
    """A generated plugin and the folder that pip put it in."""

    folder: Path
    site: Path

    def run(self, *words: str, timeout: float = 600) -> subprocess.CompletedProcess[str]:
        """`python -m WORDS` in the plugin's folder, with the plugin installed."""
        environment = {
            key: value
            for key, value in os.environ.items()
            if key not in ("ZOO_PLUGINS", "PYTEST_ADDOPTS")
        }
        environment |= {"PYTHONPATH": str(self.site), "PYTHONSAFEPATH": "1"}
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )


@pytest.fixture
def pip_install(tmp_path: Path) -> Callable[[Path], Installed]:
    """Installs a distribution as it is, without its dependencies and without the network."""

    def install(folder: Path) -> Installed:
        site = tmp_path / "site"
        words = ["install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
        subprocess.run([sys.executable, "-m", "pip", *words, str(folder)], check=True)
        return Installed(folder, site)

    return install
