"""`zoo new plugin` on the command line: what it says, and its exit status."""

import sys

import pytest

from zoo.cli.main import main


@pytest.fixture
def zoo_new(monkeypatch, capsys):
    def run(*words: str):
        monkeypatch.setattr(sys, "argv", ["zoo", "new", *words])
        monkeypatch.setenv("COLUMNS", "200")
        try:
            main()
            status = 0
        except SystemExit as stop:
            status = stop.code or 0
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


def test_it_says_what_is_next(zoo_new, tmp_path):
    assert zoo_new("plugin", "zoo-mine", "--kind", "image-encoder") == (
        0,
        "wrote zoo-mine; what it does is in zoo-mine/zoo_mine/encoder.py, for you to replace. Next:\n"
        "  cd zoo-mine\n"
        "  pip install -e '.[test]'\n"
        "  zoo check plugin zoo-mine && pytest\n",
        "",
    )
    assert (tmp_path / "zoo-mine" / "zoo_mine" / "encoder.py").is_file()


def test_into_another_folder(zoo_new, tmp_path):
    (tmp_path / "my plugins").mkdir()
    words = ["plugin", "zoo-mine", "--kind", "head", "--folder", "my plugins"]
    status, out, _ = zoo_new(*words)
    assert status == 0
    assert "\n  cd 'my plugins/zoo-mine'\n" in out
    assert (tmp_path / "my plugins" / "zoo-mine" / "zoo_mine" / "head.py").is_file()
    assert zoo_new(*words) == (
        1,
        "",
        "error: my plugins/zoo-mine exists already, and is left as it is; choose another name, or "
        "another place with --folder\n",
    )


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            ["plugin", "zoo-mine", "--kind", "encoder"],
            2,
            "'encoder' is not one of 'image-encoder', ",
        ),
        (["plugin", "zoo-mine"], 2, "Missing option '--kind'"),
        (["plugin", "--kind", "head"], 2, "Missing argument 'NAME'"),
        (["plugn"], 2, "No such command 'plugn'"),
        (["plugin", "Mine", "--kind", "head"], 1, "error: the name 'Mine' is not legal; "),
        (["plugin", "torch", "--kind", "head"], 1, "error: the module 'torch' would hide one"),
        (
            ["plugin", "zoo-mine", "--kind", "head", "--folder", "nowhere"],
            1,
            "error: nowhere: there is no such folder to put the plugin in; make it first",
        ),
    ],
)
def test_what_goes_wrong(zoo_new, tmp_path, words, status, said):
    got, out, err = zoo_new(*words)
    assert (got, out) == (status, "")
    assert said in err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
