"""From nothing to a passing plugin around a network of one's own, as its author goes about it."""

import difflib
import time

import pytest

from zoo.scaffold import PluginKind, write_plugin

EDITS = {
    "from itertools import pairwise\n\nfrom torch": "from torch",
    "from torch import Tensor, nn\n": (
        "from torch import Tensor, nn\nfrom torchvision.models import shufflenet_v2_x0_5\n"
    ),
    "width: PositiveInt = 64": "image_size: PositiveInt = 96",
    "width: number of features.": "image_size: side of a picture, in pixels.",
    "self.network = convnet(width)": (
        "self.network = shufflenet_v2_x0_5()\n        self.network.fc = nn.Identity()"
    ),
    "self.out_dim = width": "self.out_dim = 1024",
    "resize=64": "resize=image_size",
    "crop=(64, 64)": "crop=(image_size, image_size)",
    "mean=(0.5, 0.5, 0.5)": "mean=(0.485, 0.456, 0.406)",
    "std=(0.5, 0.5, 0.5)": "std=(0.229, 0.224, 0.225)",
}
"""What the author changes in the scaffold, to wrap a ShuffleNet of torchvision."""


@pytest.mark.alone
@pytest.mark.long
def test_few_lines_and_two_minutes(tmp_path, pip_install):
    started = time.perf_counter()
    folder = write_plugin("zoo-shuffle", PluginKind.IMAGE_ENCODER, tmp_path)
    file = folder / "zoo_shuffle" / "encoder.py"
    scaffold = text = file.read_text()
    for before, after in EDITS.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    text = text[: text.index("\n\ndef convnet")]
    file.write_text(text)
    changes = list(difflib.ndiff(scaffold.splitlines(), text.splitlines()))
    assert len([line for line in changes if line.startswith("+ ")]) < 15

    plugin = pip_install(folder)
    tests = plugin.run("pytest", "-v")
    checked = plugin.run("zoo", "check", "plugin", "zoo-shuffle")
    seconds = time.perf_counter() - started
    assert tests.returncode == 0, tests.stdout + tests.stderr
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert seconds < 120
    shown = plugin.run("zoo", "show", "resnet50-clip", "--set", "image.encoder=shuffle")
    assert "341,792" in shown.stdout, shown.stdout + shown.stderr
