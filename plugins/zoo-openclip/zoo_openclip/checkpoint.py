"""The checkpoint file of a tag: from the cache if it is there, else as open_clip fetches it."""

from pathlib import Path

from huggingface_hub import try_to_load_from_cache
from open_clip import download_pretrained
from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

from zoo.errors import WeightsError, first_line
from zoo.weights.record import verified
from zoo.weights.source import WeightsSource
from zoo_openclip.configs import tag_settings

__all__ = ["find_checkpoint"]


def find_checkpoint(name: str, tag: str) -> tuple[Path, WeightsSource]:
    """The local file of a tag's weights, and where it came from.

    Safetensors where the repository has them. The network is asked only for what is not cached.

    Raises:
        WeightsError: the message has the repository, the files and the command that brings them; or
            it is another file than the one that is pinned or recorded.
    """
    settings = tag_settings(name, tag)
    repository, _, file = settings["hf_hub"].rpartition("/")
    files = _names(file)
    origin = repository or settings["url"]
    for each in files if repository else ():
        cached = try_to_load_from_cache(repository, each)
        if isinstance(cached, str):
            return Path(cached), _source(tag, origin, Path(cached))
    try:
        path = Path(download_pretrained(settings))
    except Exception as error:  # every kind of network trouble, from several libraries
        reason = first_line(error).rpartition("Last error: ")[2]
        if repository:
            what = " or ".join(files)
            wanted = f"{Path(file).stem}.*" if file else "open_clip_*"
            how = f"hf download {repository} --include '{wanted}'"
        else:
            what, how = Path(origin).name, "copying the file to ~/.cache/clip"
        raise WeightsError(
            f"the weights {tag!r} of open_clip's {name} ({what} of {origin!r}) are not cached and "
            f"cannot be fetched: {reason}. With network, bring them by: {how}; or build with "
            "pretrained=False for random weights"
        ) from error
    return path, _source(tag, origin, path)


def _names(file: str) -> list[str]:
    """The files that open_clip looks for, in its order."""
    if not file:
        return [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]
    safe = Path(file).with_suffix(".safetensors").name
    return list(dict.fromkeys([safe, file]))


def _source(tag: str, origin: str, path: Path) -> WeightsSource:
    """Verified; the hub's cache has the commit as a folder's name."""
    commit = path.parent.name if path.parent.parent.name == "snapshots" else None
    sha256 = verified(path, f"hf://{origin}@{commit}" if commit else origin)
    return WeightsSource(tag, origin, path.name, commit, sha256)
