"""Two processes with a core each against one process with both, on the reference model's step; in turn.

ResNet50 with its head trains on the features of a frozen text encoder, with random weights. The batch
is the same for both: two processes have half of it each, exchange embeddings, batch norm statistics
and gradients, and make the same step.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import statistics
import subprocess
import sys
import time
from typing import Any

CORES = 2


def work(batch: int, size: int, precision: str) -> None:
    """In a process of its own: a step for each line that comes, answered by its seconds."""
    import torch

    import zoo
    from zoo.memory import keep_freed_memory
    from zoo.recipe import Recipe
    from zoo.training.batch import Batch
    from zoo.training.optimizer import make_optimizer, make_schedule
    from zoo.training.parallel import parallelise
    from zoo.training.processes import Processes, make_accelerator
    from zoo.training.step import Stepper

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    keep_freed_memory()
    torch.manual_seed(0)
    model = zoo.build("resnet50-clip", pretrained=False)
    model.to(memory_format=torch.channels_last)
    pictures = torch.randint(256, (batch, 3, size, size), dtype=torch.uint8)
    recipe = Recipe.model_validate({"batch_size": batch, "precision": precision})
    recipe = recipe.filled(heads_only=False)
    accelerator = make_accelerator(torch.device("cpu"))
    parallel = parallelise(model, recipe, accelerator)
    processes = Processes()
    optimizer = make_optimizer(parallel.model, recipe)
    stepper = Stepper(
        model, recipe, optimizer, make_schedule(optimizer, recipe, 1000), parallel=parallel
    )
    rows = torch.arange(batch)
    whole = Batch(rows, rows, pictures, text_features=torch.randn(batch, 512))
    own = whole.part(processes.share(batch))
    counts = processes.rows(len(own))
    own = Batch(**{**vars(own), "counts": counts if len(counts) > 1 else ()})
    print(json.dumps({"precision": stepper.precision}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = stepper(own).loss
        print(json.dumps({"seconds": time.perf_counter() - start, "loss": loss}), flush=True)


class Together:
    """Some processes that step together."""

    def __init__(self, processes: int, options: argparse.Namespace) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        command = [sys.executable, __file__, "--worker"]
        command += [f"--batch={options.batch}", f"--size={options.size}"]
        command += [f"--precision={options.precision}"]
        self.members = []
        for rank in range(processes):
            env = {**os.environ, "OMP_NUM_THREADS": str(CORES // processes)}
            if processes > 1:
                env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(processes)}
                env |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            self.members.append(
                subprocess.Popen(
                    command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
        self.precision = self._answers()[0]["precision"]

    def step(self) -> tuple[float, float]:
        """Seconds until the last one is done, and the loss."""
        start = time.perf_counter()
        for member in self.members:
            assert member.stdin is not None
            member.stdin.write("step\n")
            member.stdin.flush()
        answers = self._answers()
        return time.perf_counter() - start, answers[0]["loss"]

    def end(self) -> None:
        for member in self.members:
            assert member.stdin is not None
            member.stdin.close()
        for member in self.members:
            member.wait()

    def _answers(self) -> list[Any]:
        answers = []
        for member in self.members:
            assert member.stdout is not None
            line = member.stdout.readline()
            if not line:
                raise SystemExit(f"a process ended with status {member.wait()}")
            answers.append(json.loads(line))
        return answers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(options.batch, options.size, options.precision)
        return
    ways = {"one_process": Together(1, options), "two_processes": Together(2, options)}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.runs + 2):
        losses = []
        for name, way in ways.items():
            taken, loss = way.step()
            losses.append(loss)
            if turn > 1:  # the first ones allocate, and choose kernels; DDP begins with the second
                seconds[name].append(taken)
        exact = options.precision == "fp32"
        if not turn and abs(losses[0] - losses[1]) > (1e-4 if exact else 0.1) * losses[0]:
            raise SystemExit(f"the first steps are not the same: losses of {losses}")
    for way in ways.values():
        way.end()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    for name, value in median.items():
        print(f"{name:<16}{value:9.3f} s   ({min(seconds[name]):.3f} to {max(seconds[name]):.3f})")
    ratio = median["one_process"] / median["two_processes"]
    print(f"two processes reach {ratio:.2f} of the throughput of one with both cores")
    if options.json:
        figures: dict[str, Any] = {name: round(value, 4) for name, value in median.items()}
        figures["precision"] = {name: way.precision for name, way in ways.items()}
        print(json.dumps({**figures, "ratios": {"one_process": round(ratio, 3)}}))


if __name__ == "__main__":
    main()
