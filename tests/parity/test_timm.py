"""timm's architectures give the features that their own classifiers see, pooled their own way."""

import pytest
from parity.compared import assert_same
from parity.images import RESAMPLED, TIMM, timm_features


@pytest.mark.long
@pytest.mark.parametrize("name", [name for names in TIMM.values() for name in names])
def test_features(name):
    assert_same(timm_features(name))


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_resnet"])
def test_features_of_small_ones(name):
    assert_same(timm_features(name))


@pytest.mark.long
# torch's, of how timm resamples.
@pytest.mark.filterwarnings("ignore:torch.searchsorted:UserWarning")
@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence:UserWarning")
@pytest.mark.parametrize(("name", "side"), RESAMPLED.items())
def test_features_at_another_size(name, side):
    """Positions are resampled from the weights' own grid."""
    assert_same(timm_features(name, side))
