"""Pages in a real browser: pictures of them, and how wide they get."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

__all__ = ["BROWSER", "content_width", "screenshot"]

BROWSER = shutil.which("chromium")

_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
_MEASURE = """<!doctype html><body style="margin:0"><iframe style="border:0" width="{width}"
height="800" srcdoc="{page}"></iframe><output></output><script>
onload = () => {{
  const root = document.querySelector("iframe").contentDocument.documentElement;
  const wide = [...root.querySelectorAll("body *")].filter(
    each => !each.closest(".scroll, pre") && each.getBoundingClientRect().right > {width} + 0.5);
  document.querySelector("output").textContent =
    [root.scrollWidth, ...wide.map(each => each.outerHTML.slice(0, 90))].join("\\n");
}}
</script>"""


def content_width(page: str, width: int) -> tuple[int, list[str]]:
    """How wide a page is in a window of a width, and the elements that reach out of the window."""
    with tempfile.TemporaryDirectory() as folder:
        outer = Path(folder, "outer.html")
        outer.write_text(_MEASURE.format(width=width, page=html.escape(page)), "utf-8")
        done = _run("--dump-dom", "--virtual-time-budget=2000", outer.as_uri())
    said = re.search(r"<output>(.*?)</output>", done.stdout, re.DOTALL)
    assert said, done.stderr
    measured, *wide = html.unescape(said[1]).split("\n")
    return int(measured), wide


def screenshot(page: Path, picture: Path, width: int, height: int, *, dark: bool = False) -> None:
    """Write a PNG of the top of a page."""
    style = ("--force-dark-mode", "--blink-settings=preferredColorScheme=0") if dark else ()
    _run(*style, f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri())


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    with tempfile.TemporaryDirectory() as profile:
        return subprocess.run(
            [BROWSER, *_QUIET, f"--user-data-dir={profile}", *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
