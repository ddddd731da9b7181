"""The time limit stops what is slow, and leaves the alarm clock as it was."""

import os
import signal
import threading
import time

import pytest

from zoo.errors import RegistryError
from zoo.registry import catalog
from zoo.registry.timeout import within

alarm = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm clock")


def stubborn() -> None:
    for _ in range(2):
        try:
            time.sleep(30)
        except BaseException:
            continue


@alarm
def test_what_is_slow_is_stopped():
    start = time.perf_counter()
    with pytest.raises(
        RegistryError,
        match=r"its import was stopped after \d\.\d\d s, and 0.05 s is the limit for a hook module, "
        r"because every listing waits for it; .* ZOO_PLUGIN_SECONDS=0.2",
    ):
        within(0.05, lambda: time.sleep(30))
    assert time.perf_counter() - start < 5


@alarm
def test_what_catches_everything_is_stopped_again():
    with pytest.raises(
        RegistryError, match=r"its import took \d\.\d\d s, and 0\.05 s is the limit"
    ):
        within(0.05, stubborn)


@alarm
def test_the_former_alarm_comes_back():
    rung = []
    former = signal.signal(signal.SIGALRM, lambda *_: rung.append(True))
    try:
        signal.setitimer(signal.ITIMER_REAL, 20)
        assert within(5, lambda: time.sleep(0.1)) is None
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 10 < left <= 19.9
        assert rung == []
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        within(5, lambda: time.sleep(0.1))  # it rings late rather than never
        time.sleep(0.1)
        assert rung == [True]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    interrupt = signal.getsignal(signal.SIGINT)
    within(5, lambda: None)
    assert signal.getsignal(signal.SIGINT) is interrupt
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_other_threads_are_measured():
    said = []

    def listing() -> None:
        try:
            within(0.05, lambda: time.sleep(0.1))
        except RegistryError as error:
            said.append(str(error))

    thread = threading.Thread(target=listing)
    thread.start()
    thread.join()
    assert said[0].startswith("its import took ")


def test_a_press_of_control_c_is_the_users():
    with pytest.raises(KeyboardInterrupt):
        within(5, lambda: os.kill(os.getpid(), signal.SIGINT) or time.sleep(1))


@pytest.mark.parametrize("said", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_none(said, monkeypatch):
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", said)
    with pytest.raises(
        RegistryError, match=rf"ZOO_PLUGIN_SECONDS is '{said}'; it is the seconds that .* above 0"
    ):
        catalog()


def test_a_plugin_that_needs_longer_is_given_it(install, monkeypatch):
    code = (
        "import time\ntime.sleep(0.6)\nfrom zoo import hookimpl\n"
        "@hookimpl\ndef zoo_losses(): return []"
    )
    install("zoo-big", {"zoo.plugins": {"hooks": "big_hooks"}}, {"big_hooks.py": code})
    assert "limit for a hook module" in catalog().failures[0].reason
    monkeypatch.setenv("ZOO_PLUGIN_SECONDS", "5")
    catalog.cache_clear()
    assert catalog().failures == ()
