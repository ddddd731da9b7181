"""The downloader, against a server on loopback that breaks off, forgets and lies."""

import hashlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import constants

from zoo.errors import WeightsError
from zoo.weights.download import download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `CONTENT`; `break_after` says how many bytes each request gets at most."""

    ranges = True
    break_after: list[int]
    seen: list[str | None]
    status = 200


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.seen.append(asked)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = 0
        if asked and self.server.ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1])
            if start >= len(CONTENT):
                self.send_error(416)
                return
        rest = CONTENT[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        limit = self.server.break_after.pop(0) if self.server.break_after else len(rest)
        self.wfile.write(rest[:limit])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server(("127.0.0.1", 0), Handler) as made:
        made.break_after, made.seen = [], []
        made.url = f"http://127.0.0.1:{made.server_address[1]}/weights.pth"
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def target(tmp_path):
    return tmp_path / "folder" / "weights.pth"


def test_a_file(server, target):
    assert download(server.url, target, SHA256) == target
    assert target.read_bytes() == CONTENT
    assert sorted(path.name for path in target.parent.iterdir()) == [
        "weights.pth",
        "weights.pth.lock",
    ]
    download(server.url, target, SHA256)
    assert server.seen == [None]  # once is enough


def test_it_goes_on_where_it_broke_off(server, target):
    server.break_after = [300_000, 300_000]
    download(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT
    assert server.seen == [None, "bytes=300000-", "bytes=600000-"]


def test_another_process_goes_on(server, target):
    target.parent.mkdir()
    part = target.with_name("weights.pth.part")
    part.write_bytes(CONTENT[:1000])
    download(server.url, target, SHA256[:8])
    assert server.seen == ["bytes=1000-"]
    assert target.read_bytes() == CONTENT
    target.unlink()
    part.write_bytes(CONTENT)  # all was there, but not yet renamed
    download(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT


def test_a_server_without_ranges(server, target):
    server.ranges = False
    server.break_after = [1000]
    download(server.url, target, SHA256)
    assert target.read_bytes() == CONTENT


def test_without_a_hash_nothing_is_resumed(server, target):
    target.parent.mkdir()
    target.with_name("weights.pth.part").write_bytes(b"of another file")
    download(server.url, target, None)
    assert target.read_bytes() == CONTENT
    assert server.seen == [None]


def test_another_file_than_the_one_meant(server, target):
    with pytest.raises(
        WeightsError, match=rf"not the file meant: sha256 is {SHA256}, and should be 0{{64}}$"
    ):
        download(server.url, target, "0" * 64)
    assert [path.name for path in target.parent.iterdir()] == ["weights.pth.lock"]


def test_a_server_that_never_gives_all(server, target):
    server.break_after = [10, 10, 10, 10]
    with pytest.raises(WeightsError, match=r"cannot be fetched: broke off after 40 of 1,048,576"):
        download(server.url, target, SHA256)
    assert not target.exists()
    download(server.url, target, SHA256)
    assert server.seen[-1] == "bytes=40-"


def test_refusals(server, target, monkeypatch):
    server.status = 404
    with pytest.raises(WeightsError, match=r"weights.pth cannot be fetched: HTTP Error 404"):
        download(server.url, target, SHA256)
    assert len(server.seen) == 1
    server.status = 503
    with pytest.raises(WeightsError, match=r"weights.pth cannot be fetched: HTTP Error 503"):
        download(server.url, target, SHA256)
    assert len(server.seen) == 5
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"cannot be fetched: HF_HUB_OFFLINE is set"):
        download(server.url, target, SHA256)
    assert len(server.seen) == 5
