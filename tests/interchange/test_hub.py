"""To a hub and back, over HTTP, with huggingface_hub's own client."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
import zoo_tiny
from hub_server import serve
from zoo.errors import FolderError

BOTH_WAYS = """
import json, sys, torch, zoo, zoo_tiny
from zoo.errors import FolderError

def refused(function, *args, **options):
    try:
        function(*args, **options)
    except FolderError as error:
        return str(error)

torch.manual_seed(1)
model = zoo.build(zoo_tiny.SPEC)
model.text_encoder.encoder.letters = "xyz"
said = {"commit": zoo.push_to_hub(model, "me/tiny", commit_message="first", record={"licence": "MIT"})}
again = zoo.from_pretrained("me/tiny")
said["same"] = torch.equal(again.embed_texts("zy"), model.embed_texts("zy"))
first = said["commit"].rpartition("/")[2]

model.text_encoder.encoder.letters = "abc"
del zoo_tiny.TinyText.save_files
zoo.push_to_hub(model, "me/tiny")
said["now"] = zoo.from_pretrained("me/tiny").text_encoder.encoder.letters
said["then"] = zoo.from_pretrained("me/tiny", revision=first).text_encoder.encoder.letters
zoo.from_pretrained("me/tiny", local_files_only=True)
said["missing"] = refused(zoo.from_pretrained, "me/nothing")
said["name"] = refused(zoo.push_to_hub, model, "a/b/c")
said["uncached"] = refused(zoo.from_pretrained, "me/other", local_files_only=True)
said["other"] = refused(zoo.from_pretrained, "me/other")
print(json.dumps(said))
"""


def test_both_ways(tmp_path, install):
    site = install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    here = [str(site), str(Path(zoo_tiny.__file__).parent), str(Path(zoo.__file__).parent.parent)]
    with serve() as (hub, address):
        hub.commits["me/other"] = [{}, {"config.json": b"{}", "README.md": b"x"}]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(here),
            "HF_ENDPOINT": address,
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": "hf_not_a_real_one",
            "NO_PROXY": "127.0.0.1",
        }
        done = subprocess.run(
            [sys.executable, "-c", BOTH_WAYS],
            env=environment, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["same"] is True
    assert (said["now"], said["then"]) == ("abcdefghijklmnopqrstuvwxyz", "xyz")
    assert said["commit"].startswith(f"{address}/me/tiny/commit/")
    _, first, second = hub.commits["me/tiny"]
    assert set(first) == {"README.md", "zoo.json", "model.safetensors", "text.encoder/letters.txt"}
    assert set(second) == {"README.md", "zoo.json", "model.safetensors"}  # what is gone is gone
    page = first["README.md"].decode()
    assert 'license: "mit"' in page
    assert 'zoo.from_pretrained("me/tiny")' in page
    assert hub.messages == ["first", "Push model using clip-zoo"]
    assert "'me/nothing' is no folder, and cannot be fetched: " in said["missing"]
    assert "'a/b/c' cannot be pushed to: " in said["name"]
    assert "'me/other' is no folder, and cannot be fetched: " in said["uncached"]
    assert "has no zoo.json, so zoo did not save it" in said["other"]
    assert "config.json" not in hub.fetched  # only a saved model's own files


def test_a_folder_is_opened_without_a_hub(tmp_path, install):
    install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    folder = zoo.save(zoo.build(zoo_tiny.SPEC), tmp_path / "model")
    assert zoo.from_pretrained(folder).spec == zoo.load(folder).spec
    with pytest.raises(FolderError, match=r"'no/such' is no folder, and cannot be fetched: "):
        zoo.from_pretrained("no/such")
