"""The menagerie: distributions that are broken, each in its own way, and a sound one beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["ANIMALS", "ODD", "PAIR", "SOUND", "Animal", "distribution"]

Write = Callable[[Path], list[Path]]


@dataclass(frozen=True)
class Animal:
    """How to write it, and what a listing says of it."""

    write: Write
    """Writes it into an empty folder; the folders to put on the path, in order."""
    reason: str
    """A piece of the reason for which it is FAILED."""
    origin: str
    """The distribution that the listing names."""
    keeps: tuple[str, ...] = ()
    """Names of it that are listed all the same."""
    breaks_python: bool = False
    """It breaks `importlib.metadata.entry_points()`, and so `import pydantic`, whatever zoo does."""


def distribution(
    name: str,
    entry_points: Mapping[str, Mapping[str, str]],
    files: Mapping[str, str] | None = None,
    *,
    version: str = "1.0",
    requires: Sequence[str] = (),
) -> Write:
    """A writer of one hand-written distribution: metadata, entry points and modules."""

    def write(folder: Path) -> list[Path]:
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
        lines += [f"Requires-Dist: {each}" for each in requires]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        sections = [
            f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
            for group, entries in entry_points.items()
        ]
        (info / "entry_points.txt").write_text("\n".join(sections))
        for file, text in (files or {}).items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text(text)
        return [folder]

    return write


HEADS = """
from zoo import HookedComponent, hookimpl

@hookimpl
def zoo_projection_heads():
    return [HookedComponent("{name}", "{module}_heads:Head", "a head for tests")]
"""

HEAD = """
from torch import nn

class Head(nn.Linear):
    def __init__(self, *, in_dim: int, out_dim: int) -> None:
        super().__init__(in_dim, out_dim)
"""


def heads(name: str, head: str) -> Write:
    """A sound distribution with one head."""
    module = name.replace("-", "_")
    return distribution(
        name,
        {"zoo.plugins": {"hooks": f"{module}_hooks"}},
        {
            f"{module}_hooks.py": HEADS.format(name=head, module=module),
            f"{module}_heads.py": HEAD,
        },
    )


def _sound(folder: Path) -> list[Path]:
    return heads("zoo-sound", "sound-head")(folder / "heads") + distribution(
        "zoo-sound-models",
        {
            "zoo.image_encoders": {"sound-encoder": "zoo_sound.encoder:create"},
            "zoo.registries": {"models": "zoo_sound:models.toml"},
        },
        {
            "zoo_sound/__init__.py": "",
            "zoo_sound/encoder.py": "def create(*, weights=None): ...\n",
            "zoo_sound/models.toml": '[models.sound-clip]\nbase = "resnet50-clip"\n',
        },
    )(folder / "models")


SOUND: Write = _sound
"""Installed beside every animal: a head, an encoder and a model that must go on working."""


def _hooks(name: str, code: str, reason: str, **others: str) -> Animal:
    """An animal whose hook module has this code; `others` are more modules of it."""
    module = name.replace("-", "_")
    files = {f"{module}.py": code} | {f"{key}.py": text for key, text in others.items()}
    write = distribution(name, {"zoo.plugins": {"hooks": module}}, files)
    return Animal(write, reason, f"{name} 1.0")


_IMPORTS = "from zoo import HookedComponent, hookimpl\n"
_SOUND_HOOK = f"{_IMPORTS}@hookimpl\ndef zoo_losses(): return []\n"


def _answers(name: str, returned: str, reason: str, before: str = "", **others: str) -> Animal:
    """An animal whose `zoo_losses` returns this expression."""
    code = f"{_IMPORTS}{before}\n@hookimpl\ndef zoo_losses():\n    return {returned}\n"
    return _hooks(name, code, reason, **others)


def _fragment(name: str, toml: str, reason: str, keeps: tuple[str, ...] = ()) -> Animal:
    package = name.replace("-", "_")
    write = distribution(
        name,
        {"zoo.registries": {"models": f"{package}:models.toml"}},
        {f"{package}/__init__.py": "raise RuntimeError", f"{package}/models.toml": toml},
    )
    return Animal(write, reason, f"{name} 1.0", keeps)


def _encoder(
    name: str,
    value: str,
    reason: str,
    files: Mapping[str, str] | None = None,
    **rest: Sequence[str],
) -> Animal:
    encoder = name.removeprefix("zoo-")
    write = distribution(name, {"zoo.image_encoders": {encoder: value}}, files, **rest)
    return Animal(write, reason, f"{name} 1.0")


def _changed(write: Write, file: str, change: Callable[[Path], object]) -> Write:
    def changed(folder: Path) -> list[Path]:
        paths = write(folder)
        change(next(folder.glob(f"*.dist-info/{file}")))
        return paths

    return changed


def _shadow(folder: Path) -> list[Path]:
    files = {"zoo_shadow.py": "def create(*, weights=None): ..."}
    entries = {"zoo.image_encoders": {"resnet50": "zoo_shadow:create"}}
    return distribution("zoo-shadow", entries, files)(folder)


def _twins(folder: Path) -> list[Path]:
    """A copy in front, and a stale one further down the path."""
    files = {"zoo_twin.py": "def create(*, weights=None): ..."}
    entries = {"zoo.image_encoders": {"twin": "zoo_twin:create"}}
    return [
        *distribution("zoo-twin", entries, files, version="2.0")(folder / "new"),
        *distribution("Zoo_Twin", {"zoo.image_encoders": {"old-twin": "zoo_twin:create"}})(
            folder / "old"
        ),
    ]


_CREATE = "def create(*, weights=None): ...\n"
_PLAIN = {"zoo.image_encoders": {"plain": "zoo_plain:create"}}

ANIMALS: dict[str, Animal] = {
    # import
    "raises": _hooks("zoo-raises", "raise ValueError('no luck')", "ValueError: no luck"),
    "exits": _hooks("zoo-exits", "raise SystemExit(3)", "SystemExit: 3"),
    "interrupts": _hooks(
        "zoo-interrupts",
        "raise KeyboardInterrupt",
        "KeyboardInterrupt",
    ),
    "absent": Animal(
        distribution("zoo-absent", {"zoo.plugins": {"hooks": "zoo_absent_hooks"}}),
        "No module named 'zoo_absent_hooks'",
        "zoo-absent 1.0",
    ),
    "recurses": _hooks(
        "zoo-recurses",
        "import sys\nsys.setrecursionlimit(150)\ndef f(): f()\nf()",
        "RecursionError: maximum recursion depth exceeded",
    ),
    "torch": _hooks(
        "zoo-torch",
        "import torch",
        "the hook module imports 'torch', which makes every listing slow",
    ),
    "hides-torch": _hooks(
        "zoo-hides-torch",
        "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
        "the hook module imports 'torch', which makes every listing slow",
    ),
    "asks-for-torch": _hooks(
        "zoo-asks-for-torch",
        "import importlib\nimportlib.import_module('torch')",
        "the hook module imports 'torch', which makes every listing slow",
    ),
    "prints": _hooks(
        "zoo-prints",
        f"{_SOUND_HOOK}print('thank you for choosing zoo-prints')",
        "the hook module writes to stdout, where listings go: 'thank you for choosing zoo-prints'",
    ),
    "prints-below": _hooks(
        "zoo-prints-below",
        f"{_SOUND_HOOK}import os\nos.write(1, b'straight to the descriptor')",
        "writes to stdout, where listings go: 'straight to the descriptor'",
    ),
    "takes-stdout": _hooks(
        "zoo-takes-stdout",
        f"{_SOUND_HOOK}import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\n"
        "print('x', flush=True)\nsys.stdout.close()",
        "writes to stdout, where listings go: 'x'",
    ),
    "prints-for-ever": _hooks(
        "zoo-prints-for-ever",
        "while True: print('more' * 1000)",
        "the hook module was stopped after 0.5 s without an answer",
    ),
    "child-prints": _hooks(
        "zoo-child-prints",
        f"{_SOUND_HOOK}import subprocess\nsubprocess.run(['echo', 'from below'])",
        "writes to stdout, where listings go: 'from below'",
    ),
    "slow": _hooks(
        "zoo-slow",
        "import time\ntry:\n    time.sleep(60)\nexcept Exception:\n    pass",
        "the hook module was stopped after 0.5 s without an answer",
    ),
    "never-lets-go": _hooks(
        "zoo-never-lets-go",
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except:\n        pass",
        "the hook module was stopped after 0.5 s without an answer",
    ),
    "deaf": _hooks(
        "zoo-deaf",
        "import signal\nfor each in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    try:\n        signal.signal(each, signal.SIG_IGN)\n    except (OSError, ValueError):\n"
        "        pass\nsum(range(10**12))",
        "the hook module was stopped after 0.5 s without an answer",
    ),
    "closes-all": _hooks(
        "zoo-closes-all",
        "import os, time\nos.closerange(0, 1000)\ntime.sleep(60)",
        "the hook module was stopped after 0.5 s without an answer",
    ),
    "leaves": _hooks(
        "zoo-leaves",
        "import os\nos._exit(3)",
        "the hook module ends its process, with exit status 3",
    ),
    "crashes": _hooks(
        "zoo-crashes",
        "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
        "the hook module ends its process, with signal 11",
    ),
    "asks-somebody": _hooks("zoo-asks-somebody", "input('Yes? ')", "EOFError"),
    "prints-much": _hooks(
        "zoo-prints-much",
        f"{_SOUND_HOOK}print('more' * 1_000_000)",
        "writes to stdout, where listings go: 'moremore",
    ),
    "moves": _hooks(
        "zoo-moves",
        "import os, sys\nos.chdir('/')\nsys.path.clear()\nsys.meta_path.clear()\nimport zoo.nothing",
        "ModuleNotFoundError: No module named 'zoo.nothing'",
    ),
    "half-made": _hooks(
        "zoo-half-made",
        "import zoo_half_made_part\nraise RuntimeError('half-way')",
        "RuntimeError: half-way",
        zoo_half_made_part="",
    ),
    "speechless": _hooks(
        "zoo-speechless",
        "class Error(Exception):\n    def __str__(self):\n        raise ValueError\nraise Error",
        "Error",
    ),
    "colours": _hooks(
        "zoo-colours",
        "raise ValueError('\\x1b[31mred\\x1b[0m\\n\\nlines \\udc80')",
        "ValueError: \\x1b[31mred\\x1b[0m lines \\udc80",
    ),
    # hooks
    "unknown-hook": _hooks(
        "zoo-unknown-hook",
        f"{_IMPORTS}@hookimpl\ndef zoo_heds(): return []",
        "unknown hook 'zoo_heds'",
    ),
    "unmarked-hook": _hooks(
        "zoo-unmarked-hook",
        "def zoo_losses(): return []",
        "zoo_losses() is not marked as a hook; write @hookimpl above it",
    ),
    "no-hook": _hooks(
        "zoo-no-hook",
        "def zoo_loses(): return []",
        "the hook module has no hook; define zoo_projection_heads() or zoo_losses()",
    ),
    "hook-raises": _answers("zoo-hook-raises", "{}['deep']", "KeyError: 'deep'"),
    "hook-exits": _answers("zoo-hook-exits", "exit('bye')", "SystemExit: bye"),
    "hook-loops": _answers("zoo-hook-loops", "zoo_losses()", "RecursionError: maximum recursion"),
    "returns-text": _answers(
        "zoo-returns-text", "'mine'", "zoo_losses() returned 'mine'; it returns"
    ),
    "returns-generator": _answers(
        "zoo-returns-generator",
        "(HookedComponent(name, 'a:b', '') for name in iter(str, 1))",
        "zoo_losses() returned <generator object",
    ),
    "returns-words": _answers(
        "zoo-returns-words", "['mine']", "returned 'mine' in its list; each is a HookedComponent"
    ),
    "returns-thousands": _answers(
        "zoo-returns-thousands",
        "[HookedComponent('mine', 'a:b', '')] * 100_000",
        "returned 100000 components, and 1000 is the limit",
    ),
    "raising-property": _answers(
        "zoo-raising-property",
        "[Odd('mine', 'a:b', '')]",
        "AttributeError: no target",
        before="class Odd(HookedComponent):\n    def __getattribute__(self, name):\n"
        "        if name == 'target':\n            raise AttributeError('no target')\n"
        "        return super().__getattribute__(name)\n",
    ),
    # targets
    "no-module": _encoder(
        "zoo-no-module", "zoo_no_modle.encoder:create", "there is no module 'zoo_no_modle'"
    ),
    "no-attribute": _encoder(
        "zoo-no-attribute",
        "zoo_no_attribute.encoder:craete",
        "'zoo_no_attribute.encoder' has no 'craete'. Did you mean 'create'?",
        {"zoo_no_attribute/__init__.py": "", "zoo_no_attribute/encoder.py": _CREATE},
    ),
    "hook-target": _answers(
        "zoo-hook-target",
        "[HookedComponent('lost', 'zoo_hook_target_loss:Lss', '')]",
        "the target of 'lost' is 'zoo_hook_target_loss:Lss', and 'zoo_hook_target_loss' has no 'Lss'. "
        "Did you mean 'Loss'?",
        zoo_hook_target_loss="class Loss: ...",
    ),
    "empty-value": _encoder("zoo-empty-value", "", "is ''; write 'module:attribute'"),
    "only-attribute": _encoder("zoo-only-attribute", ":create", "is ':create'; write 'module:att"),
    # registry fragments
    "invalid-toml": _fragment("zoo-invalid-toml", "[models.mine", "not valid TOML"),
    "newer-schema": _fragment(
        "zoo-newer-schema",
        "schema_version = 99",
        "schema_version is 99, and this zoo reads up to 1; upgrade with: pip install -U clip-zoo",
    ),
    "no-fragment": Animal(
        distribution(
            "zoo-no-fragment",
            {"zoo.registries": {"models": "zoo_no_fragment:models.toml"}},
            {"zoo_no_fragment/__init__.py": ""},
        ),
        "the entry point names 'zoo_no_fragment:models.toml', and there is no such file",
        "zoo-no-fragment 1.0",
    ),
    "circle": _fragment(
        "zoo-circle",
        '[image_encoders.round-a]\nuse = "round-b"\n[image_encoders.round-b]\nuse = "round-a"\n'
        '[image_encoders.round-not]\nuse = "resnet50"\n',
        "[image_encoders.round-a] goes round: round-a -> round-b -> round-a",
        ("round-not",),
    ),
    "circle-of-models": _fragment(
        "zoo-circle-of-models",
        '[models.round-model]\nbase = "round-model"\n',
        "[models.round-model] goes round: round-model -> round-model",
    ),
    "leads-nowhere": _fragment(
        "zoo-leads-nowhere",
        '[image_encoders.lost-preset]\nuse = "resnet5"\n',
        "[image_encoders.lost-preset] builds on 'resnet5': unknown image encoder 'resnet5'. "
        "Did you mean 'resnet50'",
    ),
    # distributions
    "shadow": Animal(
        _shadow,
        "the image encoder name 'resnet50' is built in and cannot be replaced by a plugin; it "
        "answers to 'zoo-shadow/resnet50'",
        "zoo-shadow 1.0",
        ("zoo-shadow/resnet50",),
    ),
    "twin": Animal(_twins, "a second copy, version 1.0 at ", "Zoo_Twin 1.0", ("twin",)),
    "newer-zoo": _encoder(
        "zoo-newer-zoo",
        "zoo_newer_zoo:create",
        "needs clip-zoo>=99, and ",
        {"zoo_newer_zoo.py": _CREATE},
        requires=("torch", "clip-zoo>=99"),
    ),
    "odd-requirement": _encoder(
        "zoo-odd-requirement",
        "zoo_odd_requirement:create",
        "its requirement 'clip-zoo>=a.b' is not valid",
        {"zoo_odd_requirement.py": _CREATE},
        requires=("clip-zoo>=a.b",),
    ),
    "no-metadata": Animal(
        _changed(distribution("zoo-no-metadata", _PLAIN), "METADATA", Path.unlink),
        "its metadata cannot be read; install the distribution again",
        "zoo_no_metadata-1.0",
    ),
    "latin-1": Animal(
        _changed(
            distribution("zoo-latin-1", _PLAIN),
            "METADATA",
            lambda file: file.write_bytes("Name: zoo-café\nVersion: 1.0\n".encode("latin-1")),
        ),
        "its metadata cannot be read; install the distribution again",
        "zoo_latin_1-1.0",
    ),
    "no-equals": Animal(
        _changed(
            distribution("zoo-no-equals", _PLAIN),
            "entry_points.txt",
            lambda file: file.write_text("[zoo.image_encoders]\nno equals sign\n"),
        ),
        "its entry points cannot be read",
        "zoo-no-equals 1.0",
        breaks_python=True,
    ),
    "not-utf-8": Animal(
        _changed(
            distribution("zoo-not-utf-8", _PLAIN),
            "entry_points.txt",
            lambda file: file.write_bytes(b"[zoo.image_encoders]\n\xff = a:b\n"),
        ),
        "its entry points cannot be read: 'utf-8' codec can't decode",
        "zoo-not-utf-8 1.0",
        breaks_python=True,
    ),
    "twice": Animal(
        distribution(
            "zoo-twice",
            {
                "zoo.image_encoders": {"twofold": "zoo_twice:create"},
                "zoo.registries": {"models": "zoo_twice:models.toml"},
            },
            {
                "zoo_twice/__init__.py": _CREATE,
                "zoo_twice/models.toml": '[image_encoders.twofold]\nuse = "resnet50"',
            },
        ),
        "zoo-twice 1.0 offers the image encoder name 'twofold' twice",
        "zoo-twice 1.0",
        ("twofold",),
    ),
}


def _odd(name: str, code: str) -> Write:
    module = f"zoo_{name}".replace("-", "_")
    head = (
        f"{_IMPORTS}{code}\n@hookimpl\ndef zoo_projection_heads():\n"
        f"    return [HookedComponent('{name}', '{module}:Head', 'odd')]\nclass Head: ...\n"
    )
    return distribution(f"zoo-{name}", {"zoo.plugins": {"hooks": module}}, {f"{module}.py": head})


ODD: dict[str, Write] = {
    name: _odd(name, code)
    for name, code in {
        "looks-for-torch": "from importlib.util import find_spec\nassert find_spec('torch')",
        "own-finder": "import sys\nclass Finder:\n    def find_spec(self, *name): return None\n"
        "sys.meta_path.insert(0, Finder())",
        "own-path": "import os, sys\nos.chdir('/')\nsys.path = ['/nowhere', *sys.path]",
        "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
        "child": "import subprocess\nsubprocess.Popen(['sleep', '60'])",
        "asks-back": "import zoo\nassert 'resnet50-clip' in zoo.available()\n"
        "assert 'asks-back' not in zoo.available()",
        "stderr": "import sys\nprint('not for listings', file=sys.stderr)",
        "warns": "import warnings\nwarnings.warn('old', DeprecationWarning)",
    }.items()
}
"""Sound, each with one head of its name, whatever else they do: nothing of it reaches this process."""


def _pair(folder: Path) -> list[Path]:
    return heads("zoo-pair-a", "pair")(folder / "a") + heads("zoo-pair-b", "pair")(folder / "b")


PAIR: Write = _pair
"""Two sound distributions with one name, which is no failure: each answers to `distribution/name`."""
