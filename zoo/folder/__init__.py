"""A model as a folder: what is in it, written and read whole or not at all."""

from zoo.folder.manifest import FORMAT_VERSION, MANIFEST, TENSORS
from zoo.folder.read import load
from zoo.folder.write import SessionComponentWarning, check_free, save

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "TENSORS",
    "SessionComponentWarning",
    "check_free",
    "load",
    "save",
]
