"""A real PostgreSQL server on loopback, for the tests and benchmarks that need one."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PASSWORD = "a-password-that-must-not-show"


def binaries() -> Path | None:
    """Folder of initdb and pg_ctl: on the path, or where Debian puts them."""
    if found := shutil.which("pg_ctl"):
        return Path(found).parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return folders[-1] if folders else None


@contextmanager
def postgres_server() -> Iterator[dict[str, str]]:
    """Start a server of its own, and give the environment by which clients find it; stop and remove it at the end."""
    tools = binaries()
    assert tools
    folder = Path(tempfile.mkdtemp(prefix="minicode-postgres-", dir="/tmp"))  # a socket's path is short
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    (folder / "password").write_text(PASSWORD)
    user = _owner(folder)
    try:
        _as(user, tools / "initdb", "-D", folder / "db", "-U", "minicode", "-A", "scram-sha-256",
            f"--pwfile={folder / 'password'}", "--no-sync")  # fmt: skip
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        _as(user, tools / "pg_ctl", "-D", folder / "db", "-w", "-l", folder / "log", "-o", options, "start")
        try:
            yield {
                "PGHOST": "127.0.0.1", "PGPORT": port, "PGDATABASE": "postgres", "PGUSER": "minicode",
                "PGPASSWORD": PASSWORD,
            }  # fmt: skip
        finally:
            _as(user, tools / "pg_ctl", "-D", folder / "db", "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _owner(folder: Path) -> str | None:
    """The server refuses to run as root: then the package's own user owns the folder and runs it."""
    if os.getuid() != 0:
        return None
    account = pwd.getpwnam("postgres")
    for path in (folder, *folder.iterdir()):
        os.chown(path, account.pw_uid, account.pw_gid)
    return account.pw_name


def _as(user: str | None, *command: object) -> None:
    prefix = ["runuser", "-u", user, "--"] if user else []
    subprocess.run([*prefix, *map(str, command)], check=True, stdout=subprocess.DEVNULL, cwd="/")
