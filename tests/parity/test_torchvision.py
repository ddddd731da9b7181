"""Every classification family of torchvision gives the features that its own classifier sees."""

import pytest
from parity.compared import assert_same
from parity.images import TORCHVISION, torchvision_features
from torchvision import models


@pytest.mark.long
@pytest.mark.parametrize("architecture", TORCHVISION)
def test_features(architecture, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert_same(torchvision_features(architecture))


def test_every_family_has_its_representative():
    def family(name):
        return models.get_model_builder(name).__module__

    known = models.list_models(module=models)
    assert {family(name) for name in known} == {family(name) for name in TORCHVISION}
