"""A plugin to start from: a complete distribution, filled in from the templates of its kind.

`templates/common` is in every plugin, `templates/KIND` in those of one kind. A template's path is
that of the file it becomes, with `MODULE` for the module's name and `.tmpl` at the end.
"""

from __future__ import annotations

import contextlib
import importlib.util
import keyword
import os
import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory

from zoo.errors import FolderError, RegistryError
from zoo.registry import Kind, as_kind, catalog, describe
from zoo.registry.requirements import range_from
from zoo.scaffold.kinds import PluginKind

__all__ = ["Scaffold", "write_plugin"]

_TEMPLATES = Path(__file__).parent / "templates"
_LEGAL_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_OWN_FOLDERS = ("build", "dist", "tests")


@dataclass(frozen=True)
class Scaffold:
    """The names of a new plugin.

    Args:
        name: of the distribution, such as `zoo-mine`.
        kind: what the plugin adds.
    """

    name: str
    kind: PluginKind

    @property
    def module(self) -> str:
        """The name that it is imported by: `zoo_mine`."""
        return self.name.replace("-", "_")

    @property
    def component(self) -> str:
        """The name that zoo knows its component by: `mine`."""
        return self.name.removeprefix("zoo-")

    @property
    def registry_kind(self) -> Kind:
        return as_kind(self.kind)

    @property
    def edit(self) -> Path:
        """The file that its author writes, under the distribution's folder."""
        return Path(self.module, self.kind.joint.edit)

    def fields(self) -> dict[str, str]:
        """What the templates are filled in with."""
        joint = self.kind.joint
        names = {"name": self.name, "module": self.module, "component": self.component}
        return names | {
            "described": describe(self.registry_kind),
            "edit": self.edit.as_posix(),
            "zoo_range": range_from(version("clip-zoo")),
            "group": joint.group,
            "entry": Template(joint.entry).substitute(names),
            "use": Template(joint.use).substitute(names),
        }


def write_plugin(name: str, kind: PluginKind, parent: Path) -> Path:
    """Write `parent/name`, a distribution that passes its own tests as it is.

    The folder appears whole or not at all, and nothing that exists is touched.

    Returns:
        The new folder.

    Raises:
        RegistryError: the name is not legal, or it or one that follows from it is taken.
        FolderError: the folder exists, or there is none to put it in.
    """
    _check_legal(name)
    target = parent / name
    if not parent.is_dir():
        raise FolderError(f"{parent}: there is no such folder to put the plugin in; make it first")
    _check_free(target)
    scaffold = Scaffold(name, kind)
    _check_not_taken(scaffold)
    with TemporaryDirectory(prefix=f".{name}.", dir=parent) as draft:
        folder = Path(draft, name)
        _fill(scaffold, folder)
        _check_free(target)
        folder.rename(target)
    return target


def _check_legal(name: str) -> None:
    if not _LEGAL_NAME.fullmatch(name):
        words = "-".join(re.findall(r"[a-z0-9]+", name.lower())).lstrip("0123456789-")
        near = f" Did you mean {words!r}?" if words else ""
        raise RegistryError(
            f"the name {name!r} is not legal; a plugin's name is small letters and digits, in words "
            f"joined by '-', starting with a letter, such as 'zoo-mine'.{near}"
        )
    if keyword.iskeyword(name):
        raise RegistryError(
            f"the name {name!r} is a keyword of Python, which no module can be called; choose "
            f"another, such as 'zoo-{name}'"
        )
    if name in _OWN_FOLDERS:
        raise RegistryError(
            f"the module {name!r} would be mixed up with the folder {name!r} that a distribution "
            f"has anyway; choose another name, such as 'zoo-{name}'"
        )


def _check_not_taken(scaffold: Scaffold) -> None:
    """Refuse names that would stand in the place of another's."""
    found = importlib.util.find_spec(scaffold.module)
    if found is not None:
        where = found.origin or ", ".join(found.submodule_search_locations or ())
        raise RegistryError(
            f"the module {scaffold.module!r} would hide one that is here already ({where}); choose "
            "another name"
        )
    with contextlib.suppress(PackageNotFoundError):
        raise RegistryError(
            f"the distribution {scaffold.name!r} is installed already (version "
            f"{version(scaffold.name)}); choose another name, or uninstall that one if it is yours"
        )
    kind, component = scaffold.registry_kind, scaffold.component
    claims = catalog().components[kind].get(component, ())
    if any(claim.origin.layer == "built-in" for claim in claims):
        raise RegistryError(
            f"the {describe(kind)} name {component!r} is built in, and a plugin cannot replace it; "
            f"choose another name, such as 'zoo-my-{component}'"
        )


def _check_free(target: Path) -> None:
    if os.path.lexists(target):
        raise FolderError(
            f"{target} exists already, and is left as it is; choose another name, or another place "
            "with --folder"
        )


def _fill(scaffold: Scaffold, folder: Path) -> None:
    fields = scaffold.fields()
    for root in (_TEMPLATES / "common", _TEMPLATES / scaffold.kind):
        for template in sorted(root.rglob("*.tmpl")):
            path = template.relative_to(root).as_posix().removesuffix(".tmpl")
            file = folder / path.replace("MODULE", scaffold.module)
            file.parent.mkdir(parents=True, exist_ok=True)
            text = Template(template.read_text(encoding="utf-8")).substitute(fields)
            file.write_text(text, encoding="utf-8", newline="\n")
