"""The command line: what it prints, and its exit status."""

import json
import subprocess
import sys

import pytest

import zoo
from zoo.cli.main import main
from zoo.data.pairs import ImageTextDataset

MINE = 'base = "resnet50-clip"\nimage.encoder = "timm/test_resnet"\n'


@pytest.fixture
def zoo_command(monkeypatch, capsys):
    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["zoo", *words])
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_python_dash_m():
    for command in (["zoo.list"], ["zoo", "list"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "--kind", "models"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert "resnet50-clip" in done.stdout
        assert "clip-zoo 0." in done.stdout
        assert done.stderr == ""


def test_both_ways_to_list_are_the_same():
    for words in ([], ["resnet*", "--kind", "models"], ["--json"]):
        said = [
            subprocess.run(
                [sys.executable, "-m", *command, *words], capture_output=True, text=True, check=True
            ).stdout
            for command in (["zoo.list"], ["zoo", "list"])
        ]
        assert said[0] == said[1]
    wrong = subprocess.run(
        [sys.executable, "-m", "zoo.list", "--knd", "models"], capture_output=True, text=True
    )
    assert wrong.returncode == 2
    unknown = subprocess.run(
        [sys.executable, "-m", "zoo.list", "--kind", "modles"], capture_output=True, text=True
    )
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("error: unknown kind 'modles'")


def test_list(zoo_command):
    status, out, _ = zoo_command("list", "resnet50*")
    assert status == 0
    assert "resnet50d-clip" in out
    assert "swin" not in out
    assert zoo_command("list", "nothing-like-it")[1].strip() == "nothing has such a name"


def test_list_as_json(zoo_command):
    out = json.loads(zoo_command("list", "--kind", "losses", "--json")[1])
    assert out["failures"] == []
    entry = next(each for each in out["components"] if each["name"] == "info-nce")
    assert entry["target"] == "zoo.losses.info_nce:InfoNCELoss"
    assert entry["origin"]["name"] == "clip-zoo"


def test_list_shows_what_failed(zoo_command, install):
    install("zoo-broken", {"zoo.plugins": {"hooks": "not_there_at_all"}})
    status, out, _ = zoo_command("list", "resnet50")
    assert status == 0
    assert "FAILED" in out
    assert "No module named 'not_there_at_all'" in out
    assert zoo_command("list", "--strict")[0] == 1
    status, out, _ = zoo_command("plugins")
    assert status == 0
    assert "zoo-broken 1.0" in out
    (entry,) = [
        each for each in json.loads(zoo_command("plugins", "--json")[1])
        if each["origin"]["name"] == "zoo-broken"
    ]  # fmt: skip
    assert "not_there_at_all" in entry["failures"]["hooks"]


def test_show_a_model(zoo_command):
    out = json.loads(zoo_command("show", "resnet50-clip", "--json")[1])
    assert out["parameters"]["image.encoder"]["trainable"] == 23_508_032
    assert out["parameters"]["text.encoder"]["frozen"] == 63_428_096
    assert out["spec"]["image"]["weights"] == "IMAGENET1K_V2"
    assert out["spec"]["image"]["head"]["args"]["hidden_dim"] == 2048
    text = zoo_command("show", "resnet50-clip")[1]
    assert "28,753,472" in text
    assert "63,428,096" in text
    changed = zoo_command(
        "show", "resnet50-clip", "--set", "image.head.args.hidden_dim=64", "--json"
    )
    assert json.loads(changed[1])["spec"]["image"]["head"]["args"]["hidden_dim"] == 64


def test_show_every_train_mode(zoo_command):
    out = json.loads(zoo_command("show", "resnet50-clip", "--modes", "--json")[1])["modes"]
    assert (out["image"]["blocks"], out["text"]["blocks"]) == (16, 12)
    modes = out["image"]["modes"]
    encoders = {name: counts["image.encoder"] for name, counts in modes.items()}
    assert encoders["full"] == {"trainable": 23_508_032, "frozen": 0}
    assert encoders["head"] == {"trainable": 0, "frozen": 23_508_032}
    # A bottleneck's three convolutions and their norms.
    last = 2048 * 512 * 2 + 512 * 512 * 9 + 2 * (512 + 512 + 2048)
    assert encoders["{ last = 1 }"] == {"trainable": last, "frozen": 23_508_032 - last}
    assert encoders["{ lora = {} }"]["frozen"] == 23_508_032
    assert modes["head"]["image.head"] == {"trainable": 5_245_440, "frozen": 0}
    assert modes["frozen"]["image.head"] == {"trainable": 0, "frozen": 5_245_440}
    text = zoo_command("show", "resnet50-clip", "--modes", "--set", "text.encoder=hf/no/thing")[1]
    assert "image.train (16 blocks)" in text
    assert (
        text.count("text.train: counts are not known yet: text.encoder (overrides): the config")
        == 1
    )


def test_show_a_mode_with_settings(zoo_command):
    out = zoo_command("show", "resnet50-clip", "--set", "image.train={ lora = { rank = 2 } }")[1]
    assert '"rank": 2' in out
    status, _, err = zoo_command("show", "resnet50-clip", "--set", "image.train.last=17")
    assert status == 1
    assert "last = 17, and the encoder has 16 blocks" in err


def test_show_what_is_not_fetched_yet(zoo_command):
    status, out, _ = zoo_command("show", "resnet50-clip", "--set", "text.encoder=hf/nobody/nothing")
    assert status == 0
    assert "parameter counts are not known yet" in out


def test_show_a_component(zoo_command):
    out = zoo_command("show", "mlp-gelu")[1]
    assert "args.hidden_dim" in out
    assert "in_dim" not in out
    (entry,) = json.loads(zoo_command("show", "timm/resnet18", "--json")[1])
    assert entry["arguments"]["image_size"] == "None"
    assert entry["kind"] == "image encoder"


def test_show_what_is_a_model_and_a_component(zoo_command, user_registry):
    user_registry('[models.linear]\nbase = "resnet50-clip"')
    out = json.loads(zoo_command("show", "linear", "--json")[1])
    assert out["spec"]["name"] == "linear"
    assert [entry["kind"] for entry in out["components"]] == ["projection head"]
    text = zoo_command("show", "linear", "--set", "image.head.args.hidden_dim=64")[1]
    assert text.index("image.head.args.hidden_dim") < text.index("projection head linear")


def test_show_a_family(zoo_command):
    status, out, _ = zoo_command("show", "timm/*")
    assert status == 0
    assert "any timm architecture" in out


def test_check(zoo_command, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(MINE)
    assert zoo_command("check", str(path))[:2] == (0, f"{path}: valid\n")
    path.write_text(MINE + 'image.head = { name = "mlp-gelu", args = { hiden_dim = 3 } }')
    status, out, err = zoo_command("check", str(path))
    assert (status, out) == (1, "")
    assert err.startswith(f"error: image.head.args.hiden_dim ({path}): ")
    path.write_text(MINE + 'image.head = "identity"')
    status, _, err = zoo_command("check", str(path))
    assert status == 1
    assert "the head 'identity' keeps the encoder's" in err
    assert "Traceback" not in err


def test_schema(zoo_command):
    schema = json.loads(zoo_command("schema")[1])
    assert schema["title"] == "zoo model spec"
    assert set(schema["properties"]) >= {"base", "image", "text", "loss", "embedding_dim"}


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["show", "resnet50-clp"], 1, "error: nothing is called 'resnet50-clp'. Did you mean"),
        (["list", "--kind", "modles"], 1, "error: unknown kind 'modles'"),
        (
            ["show", "resnet50-clip", "--set", "image.head"],
            1,
            "error: --set 'image.head': write PATH",
        ),
        (
            ["train", "resnet50-clip", "--data", "coco"],
            1,
            "error: unknown dataset 'coco'. No dataset",
        ),
        (["train", "resnet5-clip", "--data", "coco"], 1, "error: unknown model 'resnet5-clip'"),
        (
            ["search", "nowhere", "x", "--data", "coco"],
            1,
            "no saved model here (zoo.json is missing)",
        ),
        (
            ["quickstart"],
            1,
            "quickstart needs 'starter-clip' of the plugin zoo-starter: pip install",
        ),
        (["show", "linear", "--modes"], 2, "--set and --modes are for models"),
        (["show", "linear", "--set", "args.bias=false"], 2, "--set and --modes are for models"),
        (["train", "resnet50-clip"], 2, "Missing option"),
        (
            ["train", "resnet50-clip", "--data", "coco", "--device", "toaster"],
            1,
            "error: the device 'toaster' cannot be used here",
        ),
        (["cache", "prune", "--older-than", "nan"], 2, "a number of days is 0 or more, not nan"),
        (["cache", "prune", "--older-than", "inf"], 2, "a number of days is 0 or more, not inf"),
        (["cache", "prune", "--older-than", "-1"], 2, "a number of days is 0 or more, not -1.0"),
        (["shwo"], 2, "No such command"),
        (["list", "--jsn"], 2, "No such option"),
    ],
)
def test_what_goes_wrong(zoo_command, words, status, said):
    got, out, err = zoo_command(*words)
    assert got == status
    assert said in err
    assert "Traceback" not in err
    assert out == ""


def test_an_existing_folder_is_found_before_any_work(zoo_command, tmp_path):
    (tmp_path / "runs" / "resnet50-clip").mkdir(parents=True)
    (tmp_path / "runs" / "resnet50-clip" / "run.json").write_text("{}")
    status, _, err = zoo_command("train", "resnet50-clip", "--data", "coco")
    assert status == 1
    assert "holds a run already; go on with it by --resume (resume=True in code), replace it" in err


def test_quickstart_replaces_a_run_only_when_told(zoo_command, user_registry, tmp_path):
    user_registry('[models.starter-clip]\nbase = "resnet50-clip"')
    zoo.register("dataset", "openmoji", lambda: ImageTextDataset("openmoji", {"train": []}, "", ""))
    (tmp_path / "night").mkdir()
    (tmp_path / "night" / "run.json").write_text("{}")
    status, _, err = zoo_command("quickstart", "night")
    assert status == 1
    assert "night: holds a run already; replace it by --overwrite, or choose another folder" in err
    status, _, err = zoo_command("quickstart", "night", "--overwrite")
    assert status == 1
    assert "the dataset 'openmoji' is empty" in err


def test_what_plugins_say_is_shown_as_it_is(zoo_command, install):
    code = "raise ValueError('see [/docs] and clip-zoo[train] :smile:')"
    install("zoo-marked", {"zoo.plugins": {"hooks": "marked_hooks"}}, {"marked_hooks.py": code})
    status, out, _ = zoo_command("list", "resnet50")
    assert status == 0
    assert "see [/docs] and clip-zoo[train] :smile:" in out


def test_a_wrong_recipe_is_found_before_any_work(zoo_command):
    words = ["train", "resnet50-clip", "--data", "coco", "--epochs", "0"]
    status, _, err = zoo_command(*words)
    assert status == 1
    assert err.startswith(
        "error: train.epochs (overrides): input should be greater than or equal to 1, not 0"
    )


def test_a_folder_of_something_else_is_found_before_any_work(zoo_command, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("years")
    words = ["train", "resnet50-clip", "--data", "coco", "--out", "mine", "--overwrite"]
    status, _, err = zoo_command(*words)
    assert status == 1
    assert "holds something that is not a run: thesis.tex; choose another folder" in err
