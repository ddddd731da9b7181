"""Stdout is held back for one thread, whole, and given back."""

import logging
import subprocess
import sys
import threading

from zoo.registry.stdout import held_stdout


def test_what_is_printed_is_held(capsys):
    print("before")
    with held_stdout() as held:
        print("inside")
        sys.stdout.buffer.write(b"bytes")
        sys.stdout.writelines(["more"])
        sys.stdout.close()
    print("after")
    assert held.text == "inside\nmorebytes"
    assert capsys.readouterr().out == "before\nafter\n"


def test_what_subprocesses_write_is_held(capfd):
    with held_stdout() as held:
        subprocess.run([sys.executable, "-c", "print('from below')"], check=True)
        sys.__stdout__.write("beside")
    assert {"from below", "beside"} <= set(held.text.replace("beside", "\nbeside\n").splitlines())
    assert "from below" not in capfd.readouterr().out


def test_other_threads_print_as_ever(capsys):
    with held_stdout() as held:
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
    assert held.text == ""
    assert capsys.readouterr().out == "from a thread\n"


def test_a_stream_that_was_kept_passes_later(capsys):
    with held_stdout():
        handler = logging.StreamHandler(sys.stdout)
    handler.emit(logging.LogRecord("x", 20, "", 0, "later", None, None))
    assert capsys.readouterr().out == "later\n"


def test_no_stdout_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    with held_stdout() as held:
        print("nowhere")
    assert held.text == ""
    assert sys.stdout is None
