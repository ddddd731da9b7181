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


def test_what_subprocesses_write_is_held():
    """In a process of one thread, as a listing is."""
    code = (
        "import subprocess, sys\n"
        "from zoo.registry.stdout import held_stdout\n"
        "with held_stdout() as held:\n"
        "    subprocess.run([sys.executable, '-c', 'print(\\'from below\\')'], check=True)\n"
        "    sys.__stdout__.write('beside')\n"
        "print(held.text, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    assert "from below" in done.stderr
    assert "beside" in done.stderr


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
