"""A stand-in of the hub on loopback: repositories in memory, behind the interface that clients speak."""

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

__all__ = ["Hub", "serve"]


class Hub:
    """What is stored: for each repository a list of commits, each a table of files."""

    def __init__(self):
        self.commits = {}
        self.messages = []
        self.large = {}
        self.fetched = []

    def head(self, repository):
        return len(self.commits[repository]) - 1

    def files(self, repository, revision):
        known = self.commits[repository]
        return known[self.head(repository) if revision == "main" else int(revision, 16)]

    def sha(self, repository, revision):
        number = self.head(repository) if revision == "main" else int(revision, 16)
        return f"{number:040x}"


@contextmanager
def serve():
    hub = Hub()

    class Handler(_Handler):
        store = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Hub

    def log_message(self, *_):
        pass

    def do_GET(self):
        self._serve()

    def do_HEAD(self):
        self._serve()

    def do_POST(self):
        self._serve()

    def do_PUT(self):
        self._serve()

    def _serve(self):
        path = unquote(urlparse(self.path).path)
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        for pattern, answer in _ROUTES:
            match = re.fullmatch(pattern, path)
            if match:
                repository = match.groupdict().get("repo")
                if repository is not None and repository not in self.store.commits:
                    break
                answer(self, body, **match.groupdict())
                return
        self._send(404, {"error": "Not found"}, {"X-Error-Code": "RepoNotFound"})

    def _send(self, status, content, headers=None):
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _create(self, body):
        said = json.loads(body)
        name = "/".join(filter(None, [said.get("organization"), said["name"]]))
        if name in self.store.commits:
            self._send(409, {"error": "exists", "url": self._url(name)})
            return
        self.store.commits[name] = [{}]
        self._send(200, {"url": self._url(name), "name": name, "id": name})

    def _url(self, name):
        return f"http://{self.headers['Host']}/{name}"

    def _validate(self, body):
        assert json.loads(body)["content"].startswith("---\n")
        self._send(200, {"errors": [], "warnings": []})

    def _info(self, body, repo, revision="main"):
        files = self.store.files(repo, revision)
        sha = self.store.sha(repo, revision)
        listed = [{"rfilename": name} for name in files]
        self._send(200, {"id": repo, "sha": sha, "siblings": listed, "private": False})

    def _tree(self, body, repo, revision):
        files = self.store.files(repo, revision)
        self._send(
            200,
            [
                {"type": "file", "path": name, "size": len(data), "oid": _git_sha(data)}
                for name, data in files.items()
            ],
        )

    def _preupload(self, body, repo, revision):
        modes = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(".safetensors") else "regular",
                "shouldIgnore": False,
            }
            for each in json.loads(body)["files"]
        ]
        self._send(200, {"files": modes})

    def _batch(self, body, repo):
        objects = [
            {**each, "actions": {"upload": {"href": self._url(f"upload/{each['oid']}")}}}
            for each in json.loads(body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _upload(self, body, oid):
        assert hashlib.sha256(body).hexdigest() == oid
        self.store.large[oid] = body
        self._send(200, {})

    def _commit(self, body, repo, revision):
        files = dict(self.store.files(repo, "main"))
        for line in body.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                self.store.messages.append(value["summary"])
            elif entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.store.large[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        self.store.commits[repo].append(files)
        sha = self.store.sha(repo, "main")
        url = self._url(f"{repo}/commit/{sha}")
        self._send(200, {"success": True, "commitOid": sha, "commitUrl": url})

    def _resolve(self, body, repo, revision, file):
        data = self.store.files(repo, revision).get(file)
        if data is None:
            self._send(404, {"error": "no such file"}, {"X-Error-Code": "EntryNotFound"})
            return
        if self.command == "GET":
            self.store.fetched.append(file)
        large = file.endswith(".safetensors")
        etag = hashlib.sha256(data).hexdigest() if large else _git_sha(data)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": self.store.sha(repo, revision)}
        if large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        self._send(200, data, headers)


def _git_sha(data):
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_REVISION = r"(?P<revision>main|[0-9a-f]{40})"
_ROUTES = [
    ("/api/repos/create", _Handler._create),
    ("/api/validate-yaml", _Handler._validate),
    (rf"/api/models/{_REPO}/revision/{_REVISION}", _Handler._info),
    (rf"/api/models/{_REPO}/tree/{_REVISION}", _Handler._tree),
    (rf"/api/models/{_REPO}/preupload/{_REVISION}", _Handler._preupload),
    (rf"/api/models/{_REPO}/commit/{_REVISION}", _Handler._commit),
    (rf"/api/models/{_REPO}", _Handler._info),
    (rf"/{_REPO}\.git/info/lfs/objects/batch", _Handler._batch),
    (r"/upload/(?P<oid>[0-9a-f]{64})", _Handler._upload),
    (rf"/{_REPO}/resolve/{_REVISION}/(?P<file>.+)", _Handler._resolve),
]
