"""`zoo train` in several processes, as people start it: it ends with the model of one process."""

import json
import os
import socket
import subprocess
import sys

import pytest
import torch

import layouts
import zoo
import zoo_tiny

STARTS = {
    "torchrun": ["torch.distributed.run", "--nproc-per-node=2", "--master-port={port}"],
    "accelerate launch": [
        *("accelerate.commands.launch", "--cpu", "--num_processes=2", "--num_machines=1"),
        *("--mixed_precision=no", "--dynamo_backend=no", "--main_process_port={port}"),
    ],
}


def free_port():
    with socket.socket() as some:
        some.bind(("127.0.0.1", 0))
        return some.getsockname()[1]


@pytest.fixture
def zoo_train(install, tmp_path):
    """Trains the tiny model in fresh processes, and gives what is printed."""
    site = install("zoo-tiny", zoo_tiny.ENTRY_POINTS)
    (tmp_path / "tiny.json").write_text(json.dumps(zoo_tiny.SPEC))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *sys.path])}

    def run(out, *words, start=()):
        start = [word.format(port=free_port()) for word in start]
        command = [sys.executable, *(["-m", *start] if start else []), "-m", "zoo", "train"]
        settings = ["--batch-size=7", "--seed=3", "--workers=0", "--set=train.precision=fp32"]
        done = subprocess.run(
            [*command, "tiny.json", *words, *settings, "--json", f"--out={out}"],
            capture_output=True,
            text=True,
            env={**env, "OMP_NUM_THREADS": "1"},
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr

    return run


@pytest.mark.long
@pytest.mark.parametrize(("start", "stream"), [("torchrun", True), ("accelerate launch", False)])
def test_two_processes_end_with_the_model_of_one(zoo_train, tmp_path, start, stream):
    if stream:
        layouts.as_shards(tmp_path / "data", count=60, shards=3)
        words = ["--data=data", "--stream", "--steps=9"]
    else:
        layouts.imagefolder(tmp_path / "data")
        words = ["--data=data", "--epochs=3"]
    alone, _ = zoo_train("alone", *words)
    both, said = zoo_train("both", *words, start=STARTS[start])
    for key in ("recipe", "precision", "data"):
        assert both[key] == alone[key]
    assert both["test"].keys() == alone["test"].keys()
    expected, found = (
        zoo.load(tmp_path / name / "model").state_dict() for name in ("alone", "both")
    )
    for key, tensor in expected.items():
        torch.testing.assert_close(found[key], tensor, rtol=1e-4, atol=1e-5)
    assert said.count("saved   both/model") == said.count("report  both/report.html") == 1
    for file in ("report.html", "results.json"):
        assert (tmp_path / "both" / file).is_file()
    log = [
        [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        for name in ("alone", "both")
    ]
    assert [line["step"] for line in log[0]] == [line["step"] for line in log[1]]
    assert log[1][-1].keys() == log[0][-1].keys()
