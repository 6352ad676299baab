"""A real HTTP server on loopback that behaves as the hub, its CDN, and plain file servers do."""

import json
import re
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKEN = "hf_secretsecretsecret"


@dataclass
class Served:
    """What a server has and how it misbehaves.

    Attributes:
        files: Path in a data set to bytes, by repository; or by plain path under the repository "".
        gated: Repositories that want the token.
        script: What happens to the next requests for bytes: a status with headers, `cut` (half of the body), `whole`
            (the range is ignored), `other` (another total), `hang` (half of the body, then silence; `hung` tells).
        ranges: False never answers with a range.
        log: (path, range, authorization) of each request.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    gated: frozenset[str] = frozenset()
    script: list[str] = field(default_factory=list)
    ranges: bool = True
    log: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    sent: Counter[str] = field(default_factory=Counter)
    hung: threading.Event = field(default_factory=threading.Event)
    url: str = ""
    cdn: str = ""


class Handler(BaseHTTPRequestHandler):
    served: Served
    is_cdn: bool
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.served.log.append((path, self.headers.get("Range"), self.headers.get("Authorization")))
        if path.startswith("/api/datasets/"):
            self._info(path)
        elif path.startswith("/datasets/"):
            self._resolve(path)
        else:
            repository, _, name = path.lstrip("/").partition("//") if self.is_cdn else ("", "", path.lstrip("/"))
            self._bytes(self.served.files.get(repository, {}).get(name), name)

    def _allowed(self, repository: str) -> bool:
        if repository in self.served.gated and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            code = 401 if not self.headers.get("Authorization") else 403
            self._answer(code, b'{"error":"gated"}', {"X-Error-Code": "GatedRepo"})
            return False
        return True

    def _info(self, path: str) -> None:
        found = re.fullmatch(r"/api/datasets/([^/]+/[^/]+)/revision/(.+)", path)
        assert found
        repository, revision = found.groups()
        if repository not in self.served.files:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif revision not in ("main", COMMIT):
            self._answer(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif self._allowed(repository):
            siblings = [
                {"rfilename": name, "size": len(data), "blobId": "0" * 40,
                 "lfs": {"sha256": sha256(data).hexdigest(), "size": len(data), "pointerSize": 134}}
                for name, data in self.served.files[repository].items()
            ]  # fmt: skip
            body = {"id": repository, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}
            self._answer(200, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _resolve(self, path: str) -> None:
        found = re.fullmatch(rf"/datasets/([^/]+/[^/]+)/resolve/{COMMIT}/(.+)", path)
        if not found or found[2] not in self.served.files.get(found[1], {}):
            self._answer(404, b"", {})
        elif self._allowed(found[1]):
            etag = sha256(self.served.files[found[1]][found[2]]).hexdigest()
            headers = {"Location": f"{self.served.cdn}/{found[1]}//{found[2]}", "X-Linked-Etag": f'"{etag}"'}
            self._answer(302, b"", headers)

    def _bytes(self, data: bytes | None, name: str) -> None:
        if data is None:
            self._answer(404, b"", {})
            return
        act = self.served.script.pop(0) if self.served.script else ""
        if act[:3].isdigit():
            headers = dict([act[4:].split("=")]) if "=" in act else {}
            self._answer(int(act[:3]), b"not now", headers)
            return
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        total = len(data) + 7 * (act == "other")
        if asked and self.served.ranges and act != "whole":
            start, stop = int(asked[1]), int(asked[2] or len(data) - 1) + 1
            body = data[start:stop]
            headers = {"Content-Range": f"bytes {start}-{start + len(body) - 1}/{total}"}
            self._answer(206, body, headers, act=act, name=name)
        else:
            self._answer(200, data, {}, act=act, name=name)

    def _answer(self, status: int, body: bytes, headers: dict[str, Any], *, act: str = "", name: str = "") -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        try:
            kept = body[: len(body) // 2] if act in ("cut", "hang") else body
            for start in range(0, len(kept), 1 << 16):  # so that what a client hangs up on is not counted
                self.wfile.write(kept[start : start + (1 << 16)])
                self.served.sent[name] += len(kept[start : start + (1 << 16)])
            if act == "hang":
                self.served.hung.set()
                self.rfile.read(1)  # until the client is gone
        except (BrokenPipeError, ConnectionResetError):
            pass
        if act in ("cut", "hang"):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(served: Served) -> Iterator[Served]:
    """The hub and its CDN, on ports of their own."""
    handlers = [type("Bound", (Handler,), {"served": served, "is_cdn": is_cdn}) for is_cdn in (False, True)]
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for handler in handlers]
    served.url, served.cdn = (f"http://127.0.0.1:{server.server_address[1]}" for server in servers)
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield served
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()
