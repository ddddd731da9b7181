"""Keys of cells: other contents under the same name are another training, and the same ones are not."""

import json
from importlib import import_module

import pytest
import torch
from safetensors.torch import save_file

import zoo
from zoo.comparison.cells import resolve_cells
from zoo.errors import SpecError
from zoo.weights.read import sha256_of

HEAD = """
from torch import nn

class Mine(nn.Linear):
    def __init__(self, in_dim, out_dim):
        super().__init__(in_dim, out_dim)
"""


@pytest.fixture
def key(grid, data):
    """The key of the only cell of a grid that sets this."""

    def of(**changes):
        (cell,) = resolve_cells(grid(variation=[{"name": "it", "set": changes}]))
        return cell.key("of the data", {"device": "cpu"})

    return of


def test_weights_in_a_file_count_by_what_it_holds(key, tmp_path):
    file = tmp_path / "tuned.pth"
    changes = {"image.weights": f"file:{file}"}
    file.write_bytes(b"first")
    first = key(**changes)
    assert key(**changes) == first != key()
    file.write_bytes(b"other")
    assert key(**changes) != first
    file.write_bytes(b"first")
    assert key(**changes) == first
    file.unlink()
    with pytest.raises(SpecError, match=r"it: .*tuned.pth: there is no such weights file"):
        key(**changes)


def test_code_of_ones_own_counts_by_its_file(key, install):
    site = install("mine", {}, {"mine_heads.py": HEAD})
    zoo.register("head", "mine", import_module("mine_heads").Mine)
    first = key(**{"image.head": "mine"})
    assert key(**{"image.head": "mine"}) == first
    (site / "mine_heads.py").write_text(f"{HEAD}\n        self.bias = None\n")
    assert key(**{"image.head": "mine"}) != first


def test_code_of_a_plugin_counts_where_no_version_stands_for_it(key, install):
    code = "def create(*, weights=None): ..."
    site = install(
        "mine", {"zoo.image_encoders": {"mine": "mine_image:create"}}, {"mine_image.py": code}
    )
    (info,) = site.glob("*.dist-info")
    record, direct_url = info / "RECORD", info / "direct_url.json"

    def counts():
        source = site / "mine_image.py"
        before = key(**{"image.encoder": "mine"})
        assert key(**{"image.encoder": "mine"}) == before
        source.write_text(f"{source.read_text()}\n# changed")
        return key(**{"image.encoder": "mine"}) != before

    assert counts()  # a folder on the path, as no installer leaves it
    record.touch()
    assert not counts()  # a wheel from an index
    for said in (
        {"dir_info": {"editable": True}},
        {"dir_info": {}},
        {"vcs_info": {"vcs": "git", "commit_id": "0f"}},
        {"archive_info": {}},
    ):
        direct_url.write_text(json.dumps({"url": "file:///mine", **said}))
        assert counts(), said


def test_code_that_is_in_no_file_is_never_the_same(key):
    typed = {}
    exec(HEAD, typed)  # as in an interpreter
    zoo.register("head", "typed", typed["Mine"])
    assert key(**{"image.head": "typed"}) != key(**{"image.head": "typed"})


@pytest.mark.parametrize("role", ["train.start", "train.teacher"])
def test_a_named_model_counts_by_its_trained_weights(key, tmp_path, user_registry, role):
    def learned(weights):
        file = tmp_path / "model.safetensors"
        save_file(weights, file)
        user_registry(
            "[models.learned]\nembedding_dim = 4\n"
            'image = { encoder = "tiny-image", weights = "none", head = "linear" }\n'
            'text = { encoder = "tiny-text", weights = "none", head = "identity", train = "frozen" }\n'
            f'trained = {{ file = "{file.name}", sha256 = "{sha256_of(file)}" }}\n'
        )
        return key(**{role: "learned"})

    first = learned({"loss.bias": torch.zeros(1)})
    assert learned({"loss.bias": torch.zeros(1)}) == first != key()
    assert learned({"loss.bias": torch.ones(1)}) != first


@pytest.mark.parametrize("role", ["train.start", "train.teacher"])
def test_a_model_that_is_not_there_is_refused_before_any_cell(key, role):
    with pytest.raises(SpecError, match=rf"it: {role}: .*'nobody'"):
        key(**{role: "nobody"})
