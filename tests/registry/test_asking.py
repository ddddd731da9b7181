"""Hook modules are asked in a process of their own, in time, and nothing of it is left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from zoo.errors import RegistryError
from zoo.registry import Origin, catalog, load_catalog
from zoo.registry.asking import ask, components_of_answer

pytestmark = pytest.mark.alone
ORIGIN = Origin("plugin", "zoo-guest", "1.0")
SOUND = """
from zoo import HookedComponent, hookimpl
{before}
@hookimpl
def zoo_losses():
    return [HookedComponent("guest", "guest_hooks:Loss", "a loss")]
class Loss: ...
"""

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


@pytest.fixture
def guest(install):
    """Installs a plugin whose hook module is sound but for this code in it."""

    def write(before: str = "", **others: str) -> Path:
        files = {"guest_hooks.py": SOUND.format(before=before), **others}
        return install("zoo-guest", {"zoo.plugins": {"hooks": "guest_hooks"}}, files)

    return write


@pytest.fixture
def write_modules(tmp_path, monkeypatch):
    """Writes modules into a folder on the path; the folder."""

    def write(**modules: str) -> Path:
        site = tmp_path / "modules"
        site.mkdir()
        for name, text in modules.items():
            (site / f"{name}.py").write_text(text)
        monkeypatch.syspath_prepend(site)
        return site

    return write


def reasons(**how) -> list[str]:
    return [failure.reason for failure in load_catalog(["zoo-guest"], **how).failures]


def test_nothing_of_it_runs_in_this_process(guest):
    guest("import os, sys\nos.environ['GUEST'] = 'here'\nsys.meta_path.clear()\nsys.path.clear()")
    before = list(sys.path), list(sys.meta_path), sys.stdout, set(sys.modules)
    assert catalog().find("losses", "guest").component.origin == ORIGIN
    assert (list(sys.path), list(sys.meta_path), sys.stdout) == before[:3]
    assert "guest_hooks" not in sys.modules
    assert "GUEST" not in os.environ


def test_no_process_without_hook_modules(install):
    site = install(
        "zoo-data", {"zoo.image_encoders": {"far": "far:create"}}, {"far.py": "create = 1"}
    )
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import zoo; assert 'far' in zoo.available(); print('subprocess' in sys.modules)"
    )
    environment = {**os.environ, "ZOO_PLUGINS": "zoo-data"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.stdout.split() == [b"False"]


def test_threads_share_one_reading(guest, tmp_path):
    guest(f"import time\ntime.sleep(0.4)\nopen({str(tmp_path / 'asked')!r}, 'a').write('x')")
    code = (
        "import sys, threading\n"
        "from zoo.registry import catalog\n"
        "before, found = (list(sys.path), list(sys.meta_path), sys.stdout), []\n"
        "threads = [threading.Thread(target=lambda: found.append(catalog())) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "assert len(found) == 3 and len({id(each) for each in found}) == 1\n"
        "assert found[0].failures == () and found[0].find('losses', 'guest')\n"
        "assert (sys.path, sys.meta_path, sys.stdout) == before\n"
        "import torch\n"
        "print(torch.ones(2).sum().item())"
    )
    environment = {
        **os.environ,
        "ZOO_PLUGINS": "zoo-guest",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "2.0\n", done.stderr
    assert (tmp_path / "asked").read_text() == "x"


def test_threads_with_catalogues_of_their_own(guest):
    guest("import time\ntime.sleep(0.2)")
    found: list[object] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_catalog().failures)) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [()] * 3


def test_torch_is_refused_whether_it_is_loaded_or_not(guest):
    import torch

    guest("import torch.nn")
    assert "torch" in sys.modules
    assert reasons() == [
        "the hook module imports 'torch', which makes every listing slow; move what needs it to a "
        "module that only a component's target names"
    ]
    assert torch.ones(1).item() == 1


def test_a_listing_waits_for_less_than_a_build(guest, monkeypatch):
    guest("import time\ntime.sleep(1)")
    (reason,) = reasons(seconds=0.5)
    assert reason == (
        "the hook module was stopped after 0.5 s without an answer; move slow work to the modules "
        "that targets name, or allow more with ZOO_PLUGIN_SECONDS=2"
    )
    assert catalog().failures == ()
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "10")
    assert reasons(seconds=0.5) == []
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "0.1")  # it allows more, and never less
    assert reasons() == []


@pytest.mark.parametrize("said", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_none(said, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", said)
    with pytest.raises(
        RegistryError, match=rf"ZOO_PLUGIN_SECONDS is '{said}'; it is the seconds that .* above 0"
    ):
        catalog()


@forks
def test_slow_ones_are_waited_for_together(write_modules):
    write_modules(**{f"slow_{each}": "import time\ntime.sleep(60)" for each in "abcdef"})
    start = time.perf_counter()
    answers = ask([f"slow_{each}" for each in "abcdef"], 0.5)
    assert time.perf_counter() - start < 2.5
    assert all("stopped after 0.5 s" in each for each in answers.values())
    assert len(answers) == 6


STAYS = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
with open({file!r} + ".new", "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
os.replace({file!r} + ".new", {file!r})
time.sleep(60)
"""


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def gone(pids: list[int], seconds: float = 10) -> bool:
    end = time.monotonic() + seconds
    while any(map(runs, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    return not any(map(runs, pids))


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="no /proc")


@needs_proc
def test_what_is_stopped_takes_its_children_along(write_modules, tmp_path):
    write_modules(stays=STAYS.format(file=str(tmp_path / "pids")))
    assert "stopped after 2 s" in ask(["stays"], 2)["stays"]
    assert gone([int(pid) for pid in (tmp_path / "pids").read_text().split()])


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_caller_goes(write_modules, tmp_path, number):
    file = tmp_path / "pids"
    site = write_modules(stays=STAYS.format(file=str(file)))
    code = f"import sys; sys.path.insert(0, {str(site)!r})\n"
    code += "from zoo.registry.asking import ask; ask(['stays'], 60)"
    caller = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 30
        while not file.exists() and time.monotonic() < end:
            time.sleep(0.02)
        caller.send_signal(number)
        assert caller.wait(10) != 0
    finally:
        caller.kill()
    assert gone([int(pid) for pid in file.read_text().split()])


def test_one_after_another_where_nothing_forks(write_modules, monkeypatch):
    monkeypatch.delattr(os, "fork", raising=False)
    write_modules(
        sound=SOUND.format(
            before="import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()"
        ),
        slow="import time\nwhile True:\n    try:\n        time.sleep(60)\n    except:\n        pass",
        leaves="import os\nos._exit(3)",
        prints=SOUND.format(before="print('hello')"),
        heavy="import torch",
    )
    start = time.perf_counter()
    answers = ask(["sound", "slow", "leaves", "prints", "heavy"], 2)
    assert answers["sound"] == [["losses", "guest", "guest_hooks:Loss", "a loss", ""]]
    assert "the hook module was stopped after 2 s without an answer" in answers["slow"]
    assert answers["leaves"] == "the hook module ends its process, with exit status 3"
    assert "writes to stdout, where listings go: 'hello'" in answers["prints"]
    assert "imports 'torch'" in answers["heavy"]
    assert time.perf_counter() - start < 20


@pytest.mark.parametrize("python", [None, "", "/no/such/python"])
def test_no_python_to_ask_with(guest, monkeypatch, python):
    guest()
    monkeypatch.setattr(sys, "executable", python)
    (reason,) = reasons()
    assert reason.startswith(
        f"Python ({python or ''!r}), run to ask the hook module, gave no answer: "
    )


def test_an_application_that_is_no_python(guest, monkeypatch):
    guest()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert reasons()[0].startswith("Python (''), run to ask the hook module, gave no answer: ")


@forks
def test_an_answer_that_is_forged_is_its_own(write_modules):
    forged = "import os\nfor each in range(3, 60):\n    try:\n        os.write(each, b'{}\\n')\n"
    forged += "    except OSError:\n        pass"
    write_modules(
        sound=SOUND.format(before=""),
        nonsense=forged.format("nonsense"),
        deep=forged.format("[' b'[' * 100_000 + b'"),
        nested=forged.format("[[1, 2]]"),
        endless="import os\nfor each in range(3, 60):\n    try:\n        while True:\n"
        "            os.write(each, b'1' * 100_000)\n    except OSError:\n        pass",
    )
    answers = ask(["nonsense", "sound", "deep", "nested", "endless"], 5)
    assert answers["sound"] == [["losses", "guest", "guest_hooks:Loss", "a loss", ""]]
    assert answers["nonsense"] == answers["deep"] == "the answer of the hook module cannot be read"
    assert answers["nested"] == [[1, 2]]
    assert answers["endless"] == "the answer of the hook module is too large"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        5.0,
        ["losses"],
        [["losses", "mine", "m:A", ""]],
        [["losses", "mine", "m:A", "", None]],
        [["models", "mine", "m:A", "", ""]],
        [["losses", "mine", "m:A", "x" * 501, ""]],
        [["losses", "mine", "m:A", "", ""]] * 2001,
    ],
)
def test_what_is_no_answer(answer):
    with pytest.raises(RegistryError, match="the answer of the hook module cannot be read"):
        components_of_answer(answer, ORIGIN)


def test_names_are_checked_here_too():
    with pytest.raises(RegistryError, match="loss name 'My Loss' is not legal"):
        components_of_answer([["losses", "My Loss", "m:A", "", ""]], ORIGIN)


def test_an_object_in_a_module(write_modules):
    code = "from zoo import hookimpl\nclass a:\n    class b:\n        @hookimpl\n"
    code += "        def zoo_losses(): return []"
    write_modules(has_object=code)
    answers = ask(["has_object:a.b", "has_object:a.c", "has object"], 5)
    assert answers["has_object:a.b"] == []
    assert answers["has_object:a.c"] == "AttributeError: type object 'a' has no attribute 'c'"
    assert answers["has object"] == (
        "the entry point names 'has object'; write the hook module's name"
    )
