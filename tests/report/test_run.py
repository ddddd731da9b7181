"""The report of a run, from files in its folder."""

import json

from zoo.report.run import run_report
from zoo.training.run_folder import RunFolder


def test_the_time_is_of_all_steps_and_not_of_the_last_sitting(tmp_path):
    run = RunFolder(tmp_path / "run")
    run.begin({})
    lines = [(3, 10.0), (6, 10.0), (8, 1.0)]  # resumed after step 6
    run.log.write_text(
        "".join(
            json.dumps({"step": step, "epoch": 1, "loss": 1.0, "temperature": None}) + "\n"
            for step, _ in lines
        )
    )
    run.timing.write_text(
        "".join(
            json.dumps({"step": step, "seconds": each, "pairs_per_second": 4.0, "memory_gb": 1.0})
            + "\n"
            for step, each in lines
        )
    )
    run.results.write_text(json.dumps({"seconds": 5.0}))
    assert "8 steps in 0:01:02." in run_report(run)
