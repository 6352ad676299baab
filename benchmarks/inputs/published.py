"""Inputs of the sources' benchmark: real files of the standard library in exactly the published formats, and a server.

The server is a process of its own, so that what it costs is not counted, and says how much it sent of each file.
"""

import gzip
import io
import itertools
import json
import multiprocessing
import re
import subprocess
import sysconfig
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any, ClassVar
from urllib.request import urlopen
from xml.sax.saxutils import quoteattr

import polars as pl

COMMIT = "0" * 40
SWALLOW = "stage5-auto-format/python/medium/train_0001.jsonl"
_WRITE_BYTES = 1 << 16


def texts(num_bytes: int) -> list[str]:
    """Python files of the standard library, over again where there are too few."""
    paths = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    files, found, total = [path.read_text(errors="replace") for path in paths], list[str](), 0
    while total < num_bytes:
        found.append(files[len(found) % len(files)])
        total += len(found[-1])
    return found


def swallow(num_bytes: int) -> bytes:
    """A file of swallow-code-v2: the text is a quarter of its row, as published (7.5 of 33 kB)."""
    rows = (
        {"text": text, "old_text": text * 2, "improved_code": text, "score": 7, "lint_report": [{"row": 1}],
         "repo_name": f"o/r{n}", "path": f"/m{n}.py", "blob_id": f"{n:040x}", "detected_licenses": ["MIT"]}
        for n, text in enumerate(texts(num_bytes // 4))
    )  # fmt: skip
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def web_pages(num_bytes: int, *, rows_per_group: int = 50) -> bytes:
    """A file of OpenWebMath with a column that nobody asks for, as long as the texts."""
    rows = [
        {"url": f"https://s.org/{n}", "text": text, "date": "2020-01-01T00:00:00", "metadata": "{}",
         "other": Random(n).randbytes(len(text))}
        for n, text in enumerate(texts(num_bytes))
    ]  # fmt: skip
    buffer = io.BytesIO()
    pl.DataFrame(rows).write_parquet(buffer, row_group_size=rows_per_group)
    return buffer.getvalue()


def notebooks(num_bytes: int) -> list[bytes]:
    """Notebooks of ten cells."""
    output = {"output_type": "stream", "name": "stdout"}
    cells = (
        [{"cell_type": "markdown", "source": text[:300]},
         {"cell_type": "code", "source": text[:3000], "outputs": [{**output, "text": text[:500]}]}] * 5
        for text in texts(num_bytes // 4)
    )  # fmt: skip
    about = {"metadata": {"language_info": {"name": "python"}}, "nbformat": 4}
    return [json.dumps({"cells": found, **about}).encode() for found in cells]


def page(text: str) -> str:
    """A page of built documentation with navigation."""
    body = "".join(f"<p>{escape(line)}</p>" for line in text.splitlines())
    return f"<html><head><title>t</title></head><body><nav><a href='#'>n</a></nav><main>{body}</main></body></html>"


def _event(number: int, minute: int, actor: str, kind: str, payload: Mapping[str, Any]) -> bytes:
    given = {
        "id": str(number * 60 + minute), "type": kind, "public": True, "created_at": f"2023-01-01T00:{minute:02d}:00Z",
        "actor": {"id": 1, "login": actor}, "repo": {"id": 2, "name": "o/r"}, "payload": payload,
    }  # fmt: skip
    return json.dumps(given).encode() + b"\n"


def issue_events(num_bytes: int) -> bytes:
    """Lines of an hour of GHArchive: issues that are opened and answered."""
    lines = []
    for number, text in enumerate(texts(num_bytes)):
        issue = {"number": number, "title": "It fails", "body": text[:6000], "user": {"login": "ann"}}
        lines.append(_event(number, 0, "ann", "IssuesEvent", {"action": "opened", "issue": issue}))
        said = {"id": number, "body": text[-2000:], "user": {"login": "bob"}}
        given = {"action": "created", "issue": issue, "comment": said}
        lines.append(_event(number, 1, "bob", "IssueCommentEvent", given))
    return b"".join(lines)


def pull_events(commits: list[tuple[str, str]]) -> bytes:
    """Lines of an hour of GHArchive: a pull request a pair of commits, answered and merged."""
    lines = []
    for number, (base, head) in enumerate(commits):
        about = {
            "number": number, "title": "Compute the value fast", "body": "It takes a second, which is too long.",
            "merged": False, "user": {"login": "ann"}, "base": {"sha": base, "repo": {"full_name": "o/r"}},
            "head": {"sha": head, "repo": {"full_name": "ann/r"}},
        }  # fmt: skip
        opened = {"action": "opened", "pull_request": about}
        lines.append(_event(number, 0, "ann", "PullRequestEvent", opened))
        issue = {**about, "pull_request": {"url": "u"}}
        said = {"id": number, "body": "That looks right to me, thank you!", "user": {"login": "bob"}}
        given = {"action": "created", "issue": issue, "comment": said}
        lines.append(_event(number, 1, "bob", "IssueCommentEvent", given))
        merged = {"action": "closed", "pull_request": {**about, "merged": True}}
        lines.append(_event(number, 2, "bob", "PullRequestEvent", merged))
    return b"".join(lines)


def posts(num_bytes: int) -> bytes:
    """A dump of Stack Exchange: questions with three answers, code among the text."""
    rows = ['\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n']
    for number, text in enumerate(texts(num_bytes)):
        for place in range(4):
            part = text[place * 800 :][:800]
            body = f"<p>What does this do?</p>\n<pre><code>{escape(part)}</code></pre>\n<p>It is <b>slow</b>.</p>\n"
            kind = {"PostTypeId": 2, "ParentId": number * 4} if place else {"PostTypeId": 1, "Title": "What is it?"}
            given = {"Id": number * 4 + place, **kind, "CreationDate": "2020-01-02T03:04:05.667", "Score": 5,
                     "Body": body, "OwnerUserId": place, "ContentLicense": "CC BY-SA 4.0"}  # fmt: skip
            rows.append(f"  <row {' '.join(f'{name}={quoteattr(str(value))}' for name, value in given.items())} />\n")
    return ("".join(rows) + "</posts>").encode()


def papers(num_bytes: int, path: Path) -> None:
    """After this, `path` is an archive of arXiv's: a gzip a paper, half of each verbatim."""
    with tarfile.open(path, "w") as tar:
        for number, text in enumerate(texts(num_bytes)):
            code = text[: len(text) // 2]
            prose = text[len(code) :].replace("\\", "").replace("%", "percent")
            paper = "\\newcommand{\\eps}{\\varepsilon}\n\\begin{document}\n\\section{One} % why\n" + prose
            paper += f"\n\\begin{{verbatim}}\n{code}\n\\end{{verbatim}}\n$\\eps$\n\\end{{document}}"
            content = gzip.compress(paper.encode())
            member = tarfile.TarInfo(f"2301/2301.{number:05d}.gz")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def repository(num_bytes: int, folder: Path) -> list[tuple[str, str]]:
    """After this, `folder` is a bare repository whose commits change one file each; (parent, commit) of all."""
    folder.mkdir(parents=True)
    lines, files = [b"feature done\n"], texts(num_bytes // 2)
    for number, text in enumerate(files):
        name = f"m{number // 2}.py"
        body = (files[number - number % 2] if number % 2 else text).replace("self", f"self_{number}").encode()
        head = f"commit refs/heads/main\ncommitter A <a@b.org> {1_600_000_000 + number} +0000\n".encode()
        message = f"Change how the file number {number} computes".encode()
        lines.append(head + b"data %d\n%s\n" % (len(message), message))
        lines.append(b"M 100644 inline %s\ndata %d\n%s\n" % (name.encode(), len(body), body))
    git = ["git", "-C", str(folder)]
    subprocess.run([*git, "init", "-q", "--bare", "-b", "main"], check=True)
    subprocess.run([*git, "fast-import", "--quiet", "--done"], input=b"".join([*lines, b"done\n"]), check=True)
    log = subprocess.run([*git, "log", "--reverse", "--format=%H"], check=True, capture_output=True, text=True)
    commits = log.stdout.split()
    return list(itertools.pairwise(commits))[::2]


class _Handler(BaseHTTPRequestHandler):
    """The hub (`/api`, `/datasets`) and a plain folder, with ranges; `/sent` is what was sent, by name."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second would wait for 40 ms
    files: ClassVar[Mapping[str, bytes]]
    sent: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        if name.startswith("api/"):
            listed = [{"rfilename": n, "size": len(d)} for n, d in self.files.items()]
            self._answer(200, json.dumps({"id": "a/b", "sha": COMMIT, "siblings": listed}).encode())
        elif name == "sent":
            self._answer(200, json.dumps(self.sent).encode())
        else:
            self._bytes(re.sub(rf"^datasets/.*/resolve/{COMMIT}/", "", name))

    def _bytes(self, name: str) -> None:
        data = self.files.get(name)
        asked = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if data is None or asked is None:
            self._answer(404 if data is None else 200, data or b"", name=name)
            return
        start, stop = int(asked[1]), min(int(asked[2]) + 1, len(data))
        self._answer(206, data[start:stop], {"Content-Range": f"bytes {start}-{stop - 1}/{len(data)}"}, name)

    def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None, name: str = "") -> None:
        self.send_response(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        try:
            for start in range(0, len(body), _WRITE_BYTES):  # what a client hangs up on is not counted
                self.sent[name] += self.wfile.write(body[start : start + _WRITE_BYTES])
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


def _serve(files: Mapping[str, bytes], ready: Any) -> None:
    _Handler.files = files
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    ready.send(server.server_address[1])
    server.serve_forever()


@contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a server with these files, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(dict(files), theirs), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}"
    finally:
        process.terminate()
        process.join()


def sent(url: str) -> dict[str, int]:
    """Bytes that the server sent of each file."""
    with urlopen(f"{url}/sent") as response:
        return dict(json.load(response))
