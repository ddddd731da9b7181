"""zoo-openclip against the contract of encoders."""

import pytest


@pytest.mark.long
@pytest.mark.zoo_plugin("zoo-openclip")
def test_conformance(zoo_check):
    zoo_check()
