"""Models to a hub and from it, with the arguments that huggingface_hub's `ModelHubMixin` has."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.errors import FolderError, first_line
from zoo.folder import MANIFEST, load, save

if TYPE_CHECKING:
    import torch

    from zoo.clip import CLIP

__all__ = ["from_pretrained", "push_to_hub"]

_FILES = ["zoo.json", "model.safetensors", "README.md", "image.encoder/*", "text.encoder/*"]


def push_to_hub(
    model: CLIP,
    repo_id: str,
    *,
    commit_message: str = "Push model using clip-zoo",
    private: bool | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool | None = None,
    self_contained: bool = False,
    record: Mapping[str, Any] | None = None,
) -> str:
    """Save a model and upload the folder as one commit; returns the commit's address.

    Args:
        repo_id: `owner/name`, which is made if it is not there.
        self_contained, record: as in `zoo.save`.

    Raises:
        FolderError: it cannot be saved, or the hub refuses it.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch, repo_id.rpartition("/")[2])
        save(model, folder, self_contained=self_contained, record=record)
        card = folder / "README.md"
        page = card.read_text(encoding="utf-8")
        page = page.replace(f'zoo.load("{folder.name}")', f'zoo.from_pretrained("{repo_id}")')
        card.write_text(page, encoding="utf-8")
        try:
            made = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
            commit = api.upload_folder(
                repo_id=made,
                folder_path=folder,
                commit_message=commit_message,
                revision=branch,
                create_pr=create_pr,
                # What an earlier model had and this one has not must not stay beside it.
                delete_patterns=["image.encoder/*", "text.encoder/*"],
            )
        except (OSError, HfHubHTTPError, HFValidationError) as error:
            raise FolderError(f"{repo_id!r} cannot be pushed to: {first_line(error)}") from error
    return str(commit.commit_url)


def from_pretrained(
    pretrained_model_name_or_path: str | PathLike[str],
    *,
    revision: str | None = None,
    token: str | None = None,
    cache_dir: str | PathLike[str] | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
    device: str | torch.device = "cpu",
) -> CLIP:
    """Open a model that zoo saved, from a folder or a repository `owner/name` of a hub.

    Only the files of a saved model are fetched, and nothing in them is run.

    Raises:
        FolderError: there is no such model, or it cannot be fetched; and what `zoo.load` raises.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    name = fspath(pretrained_model_name_or_path)
    if Path(name).is_dir():
        return load(name, device=device)
    try:
        folder = snapshot_download(
            name,
            revision=revision,
            token=token,
            cache_dir=None if cache_dir is None else fspath(cache_dir),
            force_download=force_download,
            local_files_only=local_files_only,
            allow_patterns=_FILES,
        )
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        raise FolderError(
            f"{name!r} is no folder, and cannot be fetched: {first_line(error)}"
        ) from error
    if not Path(folder, MANIFEST).is_file():
        raise FolderError(
            f"{name!r} at the hub has no {MANIFEST}, so zoo did not save it; dual encoders of "
            f"transformers are opened by zoo.from_huggingface({name!r})"
        )
    return load(folder, device=device)
