"""Where an encoder's weights came from, for its provenance."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from zoo.errors import UnknownNameError, suggestion

if TYPE_CHECKING:
    from torch import nn

    from zoo.weights.hub import HubFiles

__all__ = ["WeightsSource", "check_tag", "is_address", "origin_of", "source_of"]


@dataclass(frozen=True)
class WeightsSource:
    """The origin of weights.

    Args:
        tag: the weights tag that was asked for.
        source: the repository, URL or distribution they came from.
        file: the file's name there.
        revision: commit or version, where the source has one.
        sha256: of the file, where it is pinned or known without reading it again.
    """

    tag: str
    source: str
    file: str
    revision: str | None = None
    sha256: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def is_local(self) -> bool:
        """Whether only this machine has it, so that a saved model must hold the weights."""
        return self.source.startswith("file:")


def origin_of(files: HubFiles) -> str:
    """What `WeightsSource.source` says of a repository, or of a folder on this machine."""
    return files.repository if files.revision else files.folder.resolve().as_uri()


def source_of(encoder: nn.Module | None) -> WeightsSource | None:
    """Where an encoder says its weights came from; third parties need not say."""
    source = getattr(encoder, "weights_source", None)
    return source if isinstance(source, WeightsSource) else None


def is_address(weights: str) -> bool:
    """Whether weights are asked for by where they are: `hf://…`, `file:…` or `https:…`."""
    return weights.startswith(("hf://", "file:", "https:", "http:"))


def check_tag(tag: str | None, tags: list[str], who: str) -> None:
    """Refuse weights that an encoder does not have; None, for random ones, always passes.

    Raises:
        UnknownNameError: the message has the tags there are, and the nearest one.
    """
    if tag is not None and tag not in tags:
        raise UnknownNameError(
            f"{who} has no weights {tag!r}; it has {', '.join(tags) or 'none'}.{suggestion(tag, tags)}"
        )
