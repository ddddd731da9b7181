"""Distributions to start from, written by `zoo new`."""

from zoo.scaffold.kinds import PluginKind
from zoo.scaffold.plugin import Scaffold, write_plugin

__all__ = ["PluginKind", "Scaffold", "write_plugin"]
