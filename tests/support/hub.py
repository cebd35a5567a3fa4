"""The Hugging Face Hub, played by a server on this machine."""

import hashlib
import json
import re
import threading
from collections.abc import Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REVISION = r"(refs/convert/parquet|[^/]+)"
"""A branch may have a name of several parts; this one the Hub makes for every data set."""


class Hub(BaseHTTPRequestHandler):
    """The Hub's answers as far as `datasets` and `huggingface_hub` ask for them.

    *repos* are files by data set id, *models* files by model id; *log* is what was asked.
    """

    protocol_version = "HTTP/1.1"
    repos: Mapping[str, Mapping[str, bytes]]
    models: Mapping[str, Mapping[str, bytes]]
    log: list
    failures: dict
    refused: set
    revisions: set

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.log.append((self.command, path, self.headers.get("range")))
        if match := re.fullmatch(rf"/datasets/([^/]+/[^/]+)/resolve/{REVISION}/(.+)", path):
            self.resolve(*match.groups())
        elif match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self.send_file(self.models.get(match[1], {}), match[3])
        elif match := re.fullmatch(rf"/api/datasets/([^/]+/[^/]+?)(?:/revision/{REVISION})?", path):
            self.info(*match.groups())
        elif match := re.fullmatch(rf"/api/datasets/([^/]+/[^/]+)/tree/{REVISION}(?:/(.*))?", path):
            self.tree(*match.groups(), recursive="recursive" in parse_qs(url.query))
        else:
            self.answer(404, b"{}")

    def repo(self, repo_id, revision):
        if repo_id == "anna/geschlossen":
            return self.answer(403, b"{}", {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask for access"})
        if repo_id not in self.repos:
            return self.answer(401, b"{}", {"X-Error-Code": "RepoNotFound"})
        if revision not in {None, "main", COMMIT, *self.revisions}:
            return self.answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        return self.repos[repo_id]

    def resolve(self, repo_id, revision, name):
        files = self.repo(repo_id, revision)
        if files is not None:
            self.send_file(files, name)

    def send_file(self, files, name):
        if name not in files:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})
            return
        if self.headers.get("range") and self.failures.get(name, 0) > 0:
            self.failures[name] -= 1
            self.answer(503, b"busy", {"Retry-After": "0"})
            return
        content = files[name]
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}
        if match := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("range") or ""):
            first, last = int(match[1]), min(int(match[2]), len(content) - 1)
            if name in self.refused and last < len(content) - 1:
                self.answer(403, b"no")
                return
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            self.answer(206, content[first : last + 1], headers)
        else:
            self.answer(200, content, headers)

    def info(self, repo_id, revision):
        files = self.repo(repo_id, revision)
        if files is not None:
            siblings = [{"rfilename": name} for name in files]
            self.answer(200, json.dumps({"id": repo_id, "sha": COMMIT, "siblings": siblings}).encode())

    def tree(self, repo_id, revision, folder, *, recursive):
        files = self.repo(repo_id, revision)
        if files is None:
            return
        prefix = f"{folder}/" if folder else ""
        entries = {}
        for name, content in files.items():
            if not name.startswith(prefix):
                continue
            head, _, rest = name[len(prefix) :].partition("/")
            if rest:
                entries[prefix + head] = {"type": "directory", "path": prefix + head, "oid": "0" * 40, "size": 0}
            if not rest or recursive:
                sha = hashlib.sha256(content).hexdigest()
                lfs = {"oid": sha, "size": len(content), "pointerSize": 130}
                entries[name] = {"type": "file", "path": name, "oid": sha[:40], "size": len(content), "lfs": lfs}
        self.answer(200, json.dumps(list(entries.values())).encode())

    def answer(self, status, body, headers=None):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), "Accept-Ranges": "bytes", **(headers or {})}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def serve(repos, models=None, revisions=()):
    """Serves *repos* and *models*, repos under *revisions*, too, beside `main`.

    Yields the handler class (its log, failures, refusals) and the endpoint.
    """
    state = {"repos": repos, "models": models or {}, "revisions": set(revisions)}
    state |= {"log": [], "failures": {}, "refused": set()}
    handler = type("LoggingHub", (Hub,), state)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield handler, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
