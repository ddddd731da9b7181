"""Names to components: what is built in, what plugins add, what the user's file says."""

from zoo.registry.catalog import available, catalog, load_catalog, register
from zoo.registry.component import (
    KINDS,
    Component,
    Failure,
    Kind,
    Origin,
    Trained,
    as_kind,
    describe,
)
from zoo.registry.hookspecs import HookedComponent, hookimpl
from zoo.registry.names import Catalog, Match

__all__ = [
    "KINDS",
    "Catalog",
    "Component",
    "Failure",
    "HookedComponent",
    "Kind",
    "Match",
    "Origin",
    "Trained",
    "as_kind",
    "available",
    "catalog",
    "describe",
    "hookimpl",
    "load_catalog",
    "register",
]
