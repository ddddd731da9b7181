"""Models and a run that the tests of resuming share."""

import pytest
from breaking import BreakOff

from zoo.training.loop import train
from zoo.training.run_folder import RunFolder

SMALL = {"image.encoder.args.image_size": 32}


@pytest.fixture
def model(model):
    """That of the other tests, of smaller pictures."""
    return lambda image="head", text="frozen", changes=None: model(
        image, text, {**SMALL, **(changes or {})}
    )


@pytest.fixture
def begun(model, pairs, recipe, tmp_path):
    """A run of eight steps with checkpoints of steps 2, 4 and 6, broken off after step 7."""
    asked = recipe(steps=8, sampling="pair", checkpoint={"steps": 2, "keep": 3})
    with pytest.raises(KeyboardInterrupt):
        train(model("full"), pairs, asked, folder=tmp_path / "run", observers=[BreakOff(7)])
    return RunFolder(tmp_path / "run"), asked
