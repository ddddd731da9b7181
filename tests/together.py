"""Steps and runs of training, alone or in processes that work together."""

from __future__ import annotations

import copy
import os
from contextlib import suppress
from unittest import mock

import torch
import torch.distributed as dist
from words import Words

import zoo
from zoo.errors import DataError, RegistryError, RunStopped, ZooError
from zoo.recipe import Recipe
from zoo.training import precision
from zoo.training.feed import Feed
from zoo.training.loop import train
from zoo.training.observer import Observer
from zoo.training.optimizer import make_optimizer, make_schedule
from zoo.training.parallel import parallelise
from zoo.training.precision import Measured
from zoo.training.processes import Processes, make_accelerator
from zoo.training.step import Stepper

__all__ = [
    "Plain",
    "build",
    "failing",
    "in_process",
    "precisions",
    "recipe_of",
    "refused",
    "resumed",
    "run",
    "step",
    "taken",
]


class Plain(torch.nn.Module):
    """A loss that knows nothing of processes: softmax over the rows it is given, and ids."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor([2.0, 1.0]))

    def forward(self, image_embeds, text_embeds, image_ids=None):
        logits = self.scale.prod() * image_embeds @ text_embeds.T
        same = (image_ids[:, None] == image_ids).to(logits.dtype)
        return -(logits.log_softmax(1) * same).sum() / len(logits) ** 2


class Small(torch.nn.Module):
    """An image encoder of two convolutions with batch norms."""

    def __init__(self, *, weights: str | None = None) -> None:
        super().__init__()
        self.blocks = torch.nn.Sequential(*(Block(*sizes) for sizes in ((3, 6), (6, 12))))
        self.unreached = torch.nn.Parameter(torch.zeros(2))
        self.out_dim = 12
        self.preprocess = zoo.Preprocess(16, (16, 16), "bilinear", (0.5,) * 3, (0.5,) * 3)

    def forward(self, images):
        return self.blocks(images).mean((2, 3))


class Block(torch.nn.Module):
    """What `Small` is made of; of two matrices, so that it is a block."""

    def __init__(self, before, after) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(before, after, 3, stride=2, bias=False)
        self.norm = torch.nn.BatchNorm2d(after)
        self.mix = torch.nn.Conv2d(after, after, 1)

    def forward(self, features):
        return self.mix(self.norm(self.conv(features)).relu())


def build(case):
    """The model of a case, and its teacher."""
    with suppress(RegistryError):  # there from the case before
        zoo.register("text_encoder", "words", Words)
        zoo.register("loss", "plain", Plain)
        zoo.register("image_encoder", "small", Small)

    def made(image_train, text_train, changes):
        torch.manual_seed(0)
        return zoo.build(
            "resnet50-clip",
            pretrained=False,
            overrides={
                "image.encoder": case.get("encoder", "small"),
                "image.train": image_train,
                "text.encoder": "words",
                "text.train": text_train,
                "embedding_dim": 16,
                **changes,
            },
        )

    image_train, text_train = case.get("train", ("full", "full"))
    teacher = made("frozen", "frozen", {}) if case.get("teacher") else None
    return made(image_train, text_train, case.get("changes", {})), teacher


def recipe_of(case):
    given = {
        "steps": 4,
        "batch_size": 11,
        "sampling": "pair",
        "workers": 0,
        "precision": "fp32",
        "unreadable": 0.5,
        "optimizer": {"name": "sgd", "learning_rate": 1e-2, "clip_norm": None},
        **case.get("recipe", {}),
    }
    return Recipe.model_validate(given)


def step(case, pairs):
    """The loss of a second step in float64, and what it leaves of gradients and of statistics."""
    built, teacher = build(case)
    recipe = recipe_of(case).filled(heads_only=built.spec.heads_only)
    feed = Feed(built, pairs, recipe, teacher=teacher)
    built.double()
    if teacher is not None:
        teacher.double()
    parallel = parallelise(built, recipe, make_accelerator(torch.device("cpu")))
    optimizer = make_optimizer(parallel.model, recipe)
    stepper = Stepper(
        built, recipe, optimizer, make_schedule(optimizer, recipe, 100), parallel=parallel
    )
    for batch in feed.batches(range(2)):  # DDP begins with the second
        outcome = stepper(batch)
    found = {
        name: _whole(each.grad)
        for name, each in [*parallel.model.named_parameters(), *built.loss.named_parameters()]
        if each.grad is not None
    }
    parallel.load_optimizer_state(optimizer, copy.deepcopy(parallel.optimizer_state(optimizer)))
    state = parallel.optimizer_state(optimizer)["state"]
    parallel.whole()
    buffers = {name: each for name, each in built.named_buffers() if "running" in name}
    weights = dict(built.named_parameters())
    return {
        "loss": outcome.loss,
        "norm": outcome.grad_norm,
        "cosines": [outcome.image_cosine, outcome.text_cosine],
        "rows": len(batch),
        "unread": len(batch.unread),
        "gradients": found,
        "optimizer": {
            f"{number} {name}": value
            for number, of in state.items()
            for name, value in of.items()
            if torch.is_tensor(value)
        },
        "buffers": buffers,
        "weights": {name: each.detach() for name, each in weights.items() if each.requires_grad},
    }


def refused(case, pairs):
    """What is said of each batch size and data that processes cannot work with."""
    built, _ = build(case)
    said = []
    for given, size in ((pairs, 2), (pairs[dist.get_rank() :], 6), (pairs, 12)):
        recipe = recipe_of({"recipe": {"batch_size": size, "unreadable": 1.0}})
        try:
            next(Feed(built, given, recipe.filled(heads_only=False)).batches(range(1)))
        except ZooError as error:
            said.append(str(error))
    return said


def taken(case, pairs):
    """What a sharded model has after the one that was given has got the numbers 0, 1, … in all."""
    built, _ = build(case)
    recipe = recipe_of(case).filled(heads_only=built.spec.heads_only)
    parallel = parallelise(built, recipe, make_accelerator(torch.device("cpu")))
    own = [*built.parameters(), *built.loss.parameters()]
    with torch.no_grad():
        for number, each in enumerate(own):
            # In the other processes it is something else.
            each.fill_(number + dist.get_rank())
        parallel.take()
        for each in own[:-1]:
            each.fill_(-1.0)
        parallel.whole()
    return [each.unique().tolist() for each in own if each.requires_grad]


def run(case, pairs):
    """The weights that a run ends with, and what was told of it."""
    built, teacher = build(case)
    steps, epochs, asked = [], [], []
    train(
        built,
        pairs,
        recipe_of(case),
        teacher=teacher,
        judge=lambda: asked.append(1) or {"asked": 1.0},
        on_step=lambda each: steps.append(each.outcome),
        on_epoch=lambda each: epochs.append(each.metrics),
    )
    weights = {name: each.detach() for name, each in built.named_parameters()}
    losses = [each.loss for each in steps]
    return {"weights": weights, "losses": losses, "metrics": epochs, "asked": len(asked)}


def failing(case, pairs):
    """What each way of working together raises here, where it fails in one process or another."""
    processes = Processes()

    def fails(rank, error):
        if processes.rank == rank:
            raise error
        return rank

    ways = {
        "all": lambda: processes.by_all(lambda: fails(1, DataError("no picture"))),
        "first": lambda: processes.by_first(lambda: fails(0, PermissionError(13, "no room"))),
        "turns": lambda: processes.in_turns(lambda: fails(0, DataError("no text"))),
        "later turns": lambda: processes.in_turns(lambda: fails(1, RunStopped("told", 15))),
    }
    said = {}
    for name, way in ways.items():
        try:
            way()
        except Exception as error:
            said[name] = type(error).__name__, str(error)
    works = processes.by_all(lambda: 10 * processes.rank), processes.in_turns(lambda: "here")
    return said, works, processes.by_first(lambda: processes.rank)


def precisions(case, pairs):
    """In which precision the encoder runs, where each process would measure another to be faster."""
    built, _ = build(case)
    seen = set()
    built.image_encoder.encoder.register_forward_hook(
        lambda *_: seen.add(torch.is_autocast_enabled("cpu"))
    )
    found = Measured(fp32=1.0 + dist.get_rank(), bf16=1.5)
    with mock.patch.object(precision, "measured", return_value=found):
        train(built, pairs, recipe_of({"recipe": {"precision": "auto", "steps": 2}}))
    return found.faster, seen


def resumed(case, pairs):
    """The weights of a run, and of one that was broken off and resumed, in folders of its own."""

    class BreakOff(Observer):
        def on_step(self, step):
            if step.number == 3:
                raise KeyboardInterrupt

    asked = recipe_of(case)
    found = {}
    for name in ("whole", "pieces"):
        folder = f"{case['folder']}/{name}"
        if name == "pieces":
            with suppress(KeyboardInterrupt):
                train(build(case)[0], pairs, asked, folder=folder, observers=[BreakOff()])
        built, _ = build(case)
        train(built, pairs, asked, folder=folder, resume=True)
        own = {**dict(built.named_parameters()), **dict(built.loss.named_parameters())}
        found[name] = {name: each.detach() for name, each in own.items()}
        found[name] |= dict(built.named_buffers())
    return found


def in_process(rank, processes, meeting, function, cases, pairs, cache, sharded=False):
    """What a function gives for each case, in one of several processes."""
    from accelerate.state import AcceleratorState, GradientState

    os.environ.update(
        ZOO_CACHE=str(cache),
        ACCELERATE_USE_FSDP=str(sharded).lower(),
        FSDP_VERSION="2",
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(processes),
        LOCAL_WORLD_SIZE=str(processes),
    )
    dist.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=processes)
    try:
        return {name: function(case, pairs) for name, case in cases.items()}
    finally:
        AcceleratorState._reset_state(True)
        GradientState._reset_state()
        dist.destroy_process_group()


def _whole(tensor):
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
