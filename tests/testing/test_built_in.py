"""Every built-in component and named model passes the kit."""

import pytest


@pytest.mark.long
@pytest.mark.zoo_plugin("clip-zoo")
@pytest.mark.usefixtures("clip_in_hub_cache", "minilm_in_hub_cache")
def test_conformance(zoo_check):
    zoo_check()
