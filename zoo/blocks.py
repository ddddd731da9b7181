"""Blocks: an encoder divided by depth, for `{ last = n }` and layer-wise decay."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["by_depth", "is_matrix"]

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def by_depth(encoder: nn.Module) -> list[list[str]]:
    """The names of an encoder's modules: stem, block after block, and what follows the last one.

    A block is a repeated module with at least two matrices of weights: a residual block, a
    transformer layer, an inception module. Containers (`Sequential`, `ModuleList`, `ModuleDict`) and
    stages, which hold a row of blocks, are looked into. What stands among blocks and has two
    matrices is a block too, if it is the only one of its class. In a network without any, such as
    VGG, each layer with a matrix is one.

    Order is that of registration. What stands between two blocks goes with the former. Embeddings
    go with the stem wherever they are registered, since they run first.

    Returns:
        For n blocks, n + 2 lists. The first and the last may be empty.
    """
    units = list(_units(encoder))
    starts = _starts(units)
    groups: list[list[str]] = [[] for _ in range(len(starts) + 2)]
    depth = 0
    for index, unit in enumerate(units):
        if index in starts:
            depth += 1
        elif starts and index > starts[-1]:
            depth = len(starts) + 1
        stem = isinstance(unit.module, nn.Embedding)
        groups[0 if stem else depth].append(unit.name)
    return groups


def is_matrix(parameter: Tensor) -> bool:
    """Whether a parameter has two dimensions or more, those of size 1 not counted."""
    return sum(size > 1 for size in parameter.shape) > 1


class _Unit(NamedTuple):
    """A module that is in a block, or out of all blocks, as a whole."""

    name: str
    module: nn.Module
    row: str | None
    """The outermost container it stands in."""


def _units(encoder: nn.Module) -> Iterator[_Unit]:
    shell = {encoder, *_shell(encoder)}
    stages = _stages(encoder)

    def walk(module: nn.Module, path: str, row: str | None) -> Iterator[_Unit]:
        for name, child in module.named_children():
            here = f"{path}{name}"
            container = isinstance(child, _CONTAINERS)
            if container or child in shell or type(child) in stages:
                yield from walk(child, f"{here}.", row or (here if container else None))
            else:
                yield _Unit(here, child, row)

    return walk(encoder, "", None)


def _starts(units: list[_Unit]) -> list[int]:
    """Which units are blocks."""
    large = [index for index, unit in enumerate(units) if _matrices(unit.module) > 1]
    count = Counter(type(units[index].module) for index in large)
    repeated = [index for index in large if count[type(units[index].module)] > 1]
    if not repeated:
        return [
            index
            for index, unit in enumerate(units)
            if _matrices(unit.module) and not isinstance(unit.module, nn.Embedding)
        ]
    rows = {units[index].row for index in repeated} - {None}
    among = [index for index in large if index in repeated or units[index].row in rows]
    return [index for index in large if among[0] <= index <= among[-1]]


def _shell(module: nn.Module) -> Iterator[nn.Module]:
    """What an encoder is wrapped in: modules that are all there is of their parent."""
    children = [child for child in module.children() if _matrices(child)]
    if len(children) == 1 and any(True for _ in children[0].children()):
        yield children[0]
        yield from _shell(children[0])


def _stages(encoder: nn.Module) -> set[type[nn.Module]]:
    """The classes of modules, containers apart, that are or hold a row of blocks."""
    found = set()
    for name, module in encoder.named_modules():
        parts = name.split(".") if name else []
        above = [encoder.get_submodule(".".join(parts[:end])) for end in range(len(parts))]
        if isinstance(module, _CONTAINERS):
            row = _has_blocks_beside(module)
        else:
            row = _has_blocks_only(module) and not any(
                isinstance(each, _CONTAINERS) for each in above[-1:]
            )
        if row:
            found |= {type(each) for each in [*above, module]}
    return found - set(_CONTAINERS)


def _has_blocks_beside(container: nn.Module) -> bool:
    """Whether two modules of a class that could be blocks stand side by side in it."""
    children = list(container.children())
    return any(type(one) is type(other) and _may_be_block(one) for one, other in pairwise(children))


def _has_blocks_only(module: nn.Module) -> bool:
    """Whether it is several modules of one class that could be blocks, and no weights besides."""
    children = [child for child in module.children() if _matrices(child)]
    one_class = len({type(child) for child in children}) == 1
    return one_class and len(children) > 1 and _may_be_block(children[0])


def _may_be_block(module: nn.Module) -> bool:
    return not isinstance(module, _CONTAINERS) and _matrices(module) > 1


def _matrices(module: nn.Module) -> int:
    return sum(map(is_matrix, module.parameters()))
