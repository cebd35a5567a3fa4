"""The Hugging Face Hub as one uploads to it, played by a server on this machine."""

import base64
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from types import SimpleNamespace

import huggingface_hub.constants

USERS = {
    "hf_write": {"name": "anna", "role": "write"},
    "hf_read": {"name": "anna", "role": "read"},
    "hf_fine": {"name": "anna", "role": "fineGrained"},
}
ORGS = {"klinik": "write", "verlag": "read"}
"""Anna's organisations, and what she may do there."""


class PushHub(BaseHTTPRequestHandler):
    """As the real one: who asks is told by his token, a repository has a full id and no other, and no right is assumed.

    *state* has the files by model id, ids of data sets, what was asked, and statuses that a path is answered with.
    """

    protocol_version = "HTTP/1.1"
    state: SimpleNamespace

    def do_GET(self):
        self.take()
        if self.path == "/api/whoami-v2":
            return self.who()
        if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/auth-check/write", self.path):
            there = match[1] in self.state.models
            return self.answer(200 if there and self.writes(match[1]) else 403 if there else 404, {})
        if match := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+?)(/revision/main)?", self.path):
            return self.info(match[2], getattr(self.state, match[1]))
        return self.answer(404, {"error": "Not Found"})

    def do_POST(self):
        body = self.take()
        if self.path in self.state.failing:
            self.answer(self.state.failing[self.path], {"error": "out of order"})
        elif self.path == "/api/repos/create":
            self.create(json.loads(body))
        elif self.path == "/api/validate-yaml":
            self.answer(200, {"errors": [], "warnings": []})
        else:
            self.write(body)

    def write(self, body):
        match = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit)/main", self.path)
        if not match or match[1] not in self.state.models:
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        if not self.writes(match[1]):
            return self.answer(403, {"error": "Forbidden"})
        if match[2] == "preupload":
            files = [{"path": file["path"], "uploadMode": "regular"} for file in json.loads(body)["files"]]
            return self.answer(200, {"files": [file | {"shouldIgnore": False} for file in files]})
        return self.commit(match[1], map(json.loads, body.splitlines()))

    def who(self):
        user = self.user()
        if user is None:
            return self.answer(401, {"error": "Invalid credentials in Authorization header"})
        token = {"displayName": "my token", "role": user["role"]}
        orgs = [{"type": "org", "name": name, "roleInOrg": role} for name, role in ORGS.items()]
        auth = {"type": "access_token", "accessToken": token}
        return self.answer(200, {"type": "user", "name": user["name"], "orgs": orgs, "auth": auth})

    def create(self, asked):
        user = self.user()
        if user is None:
            return self.answer(401, {"error": "Invalid username or password."})
        full = f"{asked.get('organization') or user['name']}/{asked['name']}"
        if not self.writes(full):
            return self.answer(403, {"error": f"You don't have the rights to create a model under {full}"})
        status = 409 if full in self.state.models else 200
        self.state.models.setdefault(full, {})
        return self.answer(status, {"url": f"{self.state.address}/{full}", "name": full, "id": "1"})

    def commit(self, full, lines):
        files = {line["value"]["path"]: line["value"]["content"] for line in lines if line["key"] == "file"}
        self.state.models[full] |= {name: base64.b64decode(content) for name, content in files.items()}
        url = f"{self.state.address}/{full}/commit/main"
        return self.answer(200, {"success": True, "commitOid": "0" * 40, "commitUrl": url, "hookOutput": ""})

    def info(self, full, repositories):
        if full not in repositories:
            return self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return self.answer(200, {"id": full, "modelId": full, "sha": "0" * 40, "siblings": []})

    def user(self):
        return USERS.get((self.headers.get("Authorization") or "").removeprefix("Bearer "))

    def writes(self, full):
        user, owner = self.user(), full.partition("/")[0]
        if user is None or user["role"] != "write":
            return False
        return owner == user["name"] or ORGS.get(owner) == "write"

    def take(self):
        self.state.asked.append(self.path)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, value, headers=None):
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def push_hub(monkeypatch, token="hf_write"):
    """The Hub that this process uploads to, as whoever has *token*."""
    state = SimpleNamespace(models={}, datasets=set(), asked=[], failing={})
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Playing", (PushHub,), {"state": state}))
    server.daemon_threads = True
    state.address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", state.address)
    monkeypatch.setenv("HF_TOKEN", token)
    if not token:
        monkeypatch.delenv("HF_TOKEN")
        monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", "/nowhere/token")
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
