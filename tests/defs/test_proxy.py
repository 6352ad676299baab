"""The nginx configuration of docs/guides/operations.md, as printed but for ports and paths, before the real UI."""

import base64
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.conftest import ROOT, Home

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs Debian's nginx-light: make system-deps"),
]
ACCOUNT = "someone:a pass phrase"
LOGIN = {"Authorization": "Basic " + base64.b64encode(ACCOUNT.encode()).decode()}


def configuration(folder: Path, port: int, web_port: int) -> Path:
    """The guide's server block inside the least that nginx needs around it."""
    guide = (ROOT / "docs" / "guides" / "operations.md").read_text()
    (block,) = re.findall(r"```nginx\n(.*?)```", guide, re.DOTALL)
    moved = {
        "listen 443 ssl": f"listen 127.0.0.1:{port} ssl", "127.0.0.1:3000": f"127.0.0.1:{web_port}",
        "/etc/ssl/": f"{folder}/", "/etc/nginx/": f"{folder}/",
    }  # fmt: skip
    for old, new in moved.items():
        assert old in block
        block = block.replace(old, new)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    path = folder / "nginx.conf"
    top = f"daemon off;\nmaster_process off;\npid {folder}/pid;\nevents {{}}\n"
    path.write_text(f"{top}http {{\naccess_log off;\n{places}{block}}}\n")
    return path


@pytest.fixture
def address(home: Home, tmp_path: Path) -> Iterator[str]:
    """`host:port` of the proxy, the web UI behind it."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    port, web_port = (probe.getsockname()[1] for probe in probes)
    for probe in probes:
        probe.close()
    files = ["-keyout", str(tmp_path / "minicode.key"), "-out", str(tmp_path / "minicode.pem")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *files, "-subj", "/CN=localhost"],
        check=True,
        capture_output=True,
    )
    name, _, phrase = ACCOUNT.partition(":")
    digest = subprocess.run(["openssl", "passwd", "-apr1", phrase], check=True, capture_output=True, text=True).stdout
    (tmp_path / "minicode.htpasswd").write_text(f"{name}:{digest}")
    proxy = [str(NGINX), "-c", str(configuration(tmp_path, port, web_port)), "-e", str(tmp_path / "error.log")]
    subprocess.run([*proxy, "-t"], check=True, capture_output=True)
    web = [str(Path(sys.executable).parent / "dagster-webserver"), "-h", "127.0.0.1", "-p", str(web_port)]
    with ExitStack() as stack:
        log = stack.enter_context((home.root / "web.log").open("w"))
        for command in (proxy, [*web, "--empty-workspace"]):
            process = home.start(*command, log=log)
            stack.callback(process.wait, 30)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while ask(f"127.0.0.1:{port}", LOGIN)[0] == 502:  # the web server is still starting
            assert time.monotonic() < deadline, (home.root / "web.log").read_text()
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"


def trusting() -> ssl.SSLContext:
    """Takes the test's own certificate."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def ask(address: str, headers: dict[str, str]) -> tuple[int, str]:
    """Status and body of a GraphQL query through the proxy."""
    body = json.dumps({"query": "{ version }"}).encode()
    request = urllib.request.Request(
        f"https://{address}/graphql", body, {"Content-Type": "application/json", **headers}
    )
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10, context=trusting()) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, ""
        except urllib.error.URLError as error:
            if not isinstance(error.reason, ConnectionRefusedError):  # nginx itself is still starting
                raise
            time.sleep(0.1)


def test_only_who_has_an_account_reaches_the_web_ui(address: str) -> None:
    assert ask(address, {})[0] == 401
    assert ask(address, {"Authorization": "Basic " + base64.b64encode(b"someone:wrong").decode()})[0] == 401
    status, body = ask(address, LOGIN)
    assert (status, list(json.loads(body)["data"])) == (200, ["version"])
    socket_address, protocol = f"wss://{address}/graphql", ["graphql-ws"]
    with pytest.raises(InvalidStatus) as refused:
        connect(socket_address, ssl=trusting(), subprotocols=protocol)  # type: ignore[arg-type]
    assert refused.value.response.status_code == 401
    with connect(socket_address, ssl=trusting(), subprotocols=protocol, additional_headers=LOGIN) as opened:  # type: ignore[arg-type]
        opened.send(json.dumps({"type": "connection_init", "payload": {}}))
        assert json.loads(opened.recv(timeout=10))["type"] == "connection_ack"
