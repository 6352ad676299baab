"""Local git repositories: all their refs, and every object that a ref reaches, read through one stream of git.

git lists the reachable objects (`rev-list`) into its own reader (`cat-file --batch`): two processes a repository,
whatever its size. Every object is hashed again, so a repository whose bytes differ from its ids is noticed.
"""

import logging
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote, urlsplit, urlunsplit

from minicode_assets.archive.git_objects import TARGET_TYPES, parse_commit, parse_tag
from minicode_assets.archive.graph import Graph, Origin
from minicode_assets.errors import ArchiveError
from minicode_assets.swhid import Branch, object_id, tree_entries

_SCP_LIKE = re.compile(r"^[^/:]+:(?!//)")
_PROGRESS_OBJECTS = 50_000

logger = logging.getLogger("minicode.archive")


@dataclass(frozen=True)
class Repository:
    """A local repository that can be archived whole.

    Attributes:
        path: As the user gave it.
        git_dir: Its `.git` folder or file, or the bare repository itself.
        url: Its origin's URL.
        branches: Every ref and HEAD, by raw name.
    """

    path: Path
    git_dir: Path
    url: str
    branches: Mapping[bytes, Branch]


def add_repository(graph: Graph, path: Path, *, max_bytes: int) -> None:
    """Add a repository's refs and every object that they reach.

    Args:
        graph: Takes the objects and the origin.
        path: A work tree or a bare repository.
        max_bytes: Most bytes of objects, uncompressed.

    Raises:
        ArchiveError: No repository, shallow or partial, SHA-256 ids, corrupt or missing objects, too large.
    """
    repository = open_repository(path)
    _add_objects(graph, repository, max_bytes)
    snapshot = graph.add_snapshot(repository.branches)
    graph.add_origin(Origin(repository.url, "git", snapshot, _head_directory(graph, repository.branches)))


def repository_state(path: Path) -> list[str]:
    """What changes when a repository gets other objects: its URL and its refs.

    Raises:
        ArchiveError: As `open_repository`.
    """
    repository = open_repository(path)
    refs = sorted(repository.branches.items())
    return [repository.url, *(f"{name.hex()} {branch.target_type} {branch.target.hex()}" for name, branch in refs)]


def open_repository(path: Path) -> Repository:
    """Read a repository's configuration and refs, and refuse what can't be archived whole.

    Raises:
        ArchiveError: No repository, shallow or partial, SHA-256 ids, a ref to a missing object.
    """
    git_dir = path / ".git" if (path / ".git").exists() else path
    if git_dir == path and not (path / "HEAD").is_file():
        raise ArchiveError(
            f"{path}: found {'a folder without .git' if path.is_dir() else 'no folder'}, expected a git repository",
            hint="correct [archive] git_repositories",
        )
    settings = _settings(path, git_dir)
    _refuse_partial(path, git_dir, settings)
    return Repository(path, git_dir, origin_url(path, settings.get("remote.origin.url")), _branches(path, git_dir))


def origin_url(path: Path, remote: str | None) -> str:
    """The origin of a local repository: where it was cloned from, else `file:///<name>`.

    The name alone, since an artefact must not depend on where a machine keeps its clones; two repositories of the same
    name are refused by the graph. Passwords and tokens in a remote's URL are left out.

    Args:
        path: The work tree or the bare repository.
        remote: Value of `remote.origin.url`, if it is set.
    """
    parts = urlsplit(remote or "")
    if remote and parts.scheme in ("http", "https", "ssh", "git"):
        user = f"{parts.username}@" if parts.scheme == "ssh" and parts.username else ""
        host = parts.netloc.rpartition("@")[2]
        return urlunsplit((parts.scheme, f"{user}{host}", parts.path, "", ""))
    if remote and _SCP_LIKE.match(remote):
        return remote
    local = Path(parts.path) if remote else path.resolve()
    local = local.parent if local.name == ".git" else local
    return f"file:///{quote(os.fsencode(local.name.removesuffix('.git')))}"


def _settings(path: Path, git_dir: Path) -> dict[str, str]:
    """The repository's own configuration; the first value of a key."""
    settings: dict[str, str] = {}
    for item in _git(path, git_dir, "config", "--null", "--list").split(b"\0"):
        key, _, value = os.fsdecode(item).partition("\n")
        settings.setdefault(key, value)
    return settings


def _refuse_partial(path: Path, git_dir: Path, settings: Mapping[str, str]) -> None:
    if settings.get("extensions.objectformat", "sha1") != "sha1":
        raise ArchiveError(
            f"{path}: object format found {settings['extensions.objectformat']}, expected sha1",
            hint="Software Heritage ids are SHA-1: leave this repository out of [archive] git_repositories",
        )
    promisor = [key for key in settings if re.fullmatch(r"remote\..*\.(promisor|partialclonefilter)", key)]
    if "extensions.partialclone" in settings or promisor:
        raise ArchiveError(f"{path}: a partial clone lacks objects", hint="clone it again without --filter")
    if _git(path, git_dir, "rev-parse", "--is-shallow-repository").strip() == b"true":
        raise ArchiveError(f"{path}: a shallow clone lacks its older history", hint=f"git -C {path} fetch --unshallow")


def _branches(path: Path, git_dir: Path) -> dict[bytes, Branch]:
    listing = _git(
        path, git_dir, "for-each-ref", "--format=%(objectname) %(objecttype) %(refname) %(symref)", refuse="broken ref"
    )
    branches = {}
    for line in listing.splitlines():
        target, kind, name, symbolic = line.split(b" ")
        branches[name] = Branch("alias", symbolic) if symbolic else Branch(TARGET_TYPES[kind], _identifier(target))
    head = _git(path, git_dir, "rev-parse", "--symbolic-full-name", "HEAD", "--", allowed=(0, 128))
    return branches | _head_branch(path, git_dir, branches, head)


def _head_branch(path: Path, git_dir: Path, branches: Mapping[bytes, Branch], head: bytes) -> dict[bytes, Branch]:
    """HEAD as an alias of the branch that is checked out, as a revision when detached, none when unborn."""
    name = head.partition(b"\n")[0]
    if name in branches:
        return {b"HEAD": Branch("alias", name)}
    if name != b"HEAD":
        return {}
    target = _git(path, git_dir, "rev-parse", "--verify", "HEAD^{commit}").strip()
    return {b"HEAD": Branch("revision", _identifier(target))}


def _identifier(text: bytes) -> bytes:
    return bytes.fromhex(text.decode("ascii"))


def _head_directory(graph: Graph, branches: Mapping[bytes, Branch]) -> bytes | None:
    """The root directory of HEAD's revision, for figures; None without one."""
    branch = branches.get(b"HEAD")
    if branch is not None and branch.target_type == "alias":
        branch = branches.get(branch.target)
    if branch is None or branch.target_type != "revision":
        return None
    return graph.revisions[branch.target].directory


def _add_objects(graph: Graph, repository: Repository, max_bytes: int) -> None:
    total = 0
    with _object_stream(repository) as stream:
        for number, (kind, identifier, length) in enumerate(_headers(repository.path, stream), 1):
            total += length
            if total > max_bytes:
                raise ArchiveError(
                    f"{repository.path}: objects exceed {max_bytes} bytes",
                    hint="raise [archive] max_repository_bytes, or leave the repository out",
                )
            _add_object(graph, repository.path, kind, identifier, stream, length)
            if not number % _PROGRESS_OBJECTS:
                logger.info("%s: %d objects, %d bytes", repository.url, number, total)
    logger.info("archived %s: %d bytes of objects", repository.url, total)


def _headers(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, bytes, int]]:
    """Kind, id and length of each object; the caller reads exactly the body, this reads the newline after it."""
    while header := stream.readline():
        fields = header.split()
        if len(fields) != 3:
            raise _corrupt(path, header.decode("utf-8", "backslashreplace").strip())
        yield fields[1].decode(), _identifier(fields[0]), int(fields[2])
        if stream.read(1) != b"\n":
            raise _corrupt(path, f"object {fields[0].decode()} is cut off")


def _add_object(graph: Graph, path: Path, kind: str, identifier: bytes, stream: IO[bytes], length: int) -> None:
    try:
        if kind == "blob":
            found = graph.add_stream(stream, length).sha1_git
        else:
            body = stream.read(length)
            found = object_id(kind, body)
            _add_parsed(graph, kind, identifier, body)
    except ValueError as error:
        raise _corrupt(path, f"{kind} {identifier.hex()}: {error}") from error
    if found != identifier:
        raise _corrupt(path, f"{kind} {identifier.hex()}: its bytes hash to {found.hex()}")


def _add_parsed(graph: Graph, kind: str, identifier: bytes, body: bytes) -> None:
    if kind == "tree":
        for _ in tree_entries(body):
            pass
        graph.directories[identifier] = body
    elif kind == "commit":
        graph.revisions[identifier] = parse_commit(body)
    else:
        graph.releases[identifier] = parse_tag(body)


@contextmanager
def _object_stream(repository: Repository) -> Iterator[IO[bytes]]:
    """The stream of every reachable object; on a clean exit, both processes must have ended well."""
    path, command = repository.path, _command(repository.git_dir)
    listing = [*command, "rev-list", "--objects", "--no-object-names", "--single-worktree", "--all"]
    reading = [*command, "cat-file", "--batch", "--buffer"]
    with tempfile.TemporaryFile() as errors:
        with _start(path, listing, errors, subprocess.DEVNULL) as lister:
            assert lister.stdout is not None
            with _start(path, reading, errors, lister.stdout) as reader:
                lister.stdout.close()
                assert reader.stdout is not None
                try:
                    yield reader.stdout
                except BaseException as error:
                    for process in (reader, lister):
                        process.kill()
                    if isinstance(error, ArchiveError) and _complaint(errors):
                        raise ArchiveError(f"{error.what} ({_complaint(errors)})", hint=error.hint) from error
                    raise
        if lister.returncode or reader.returncode:
            raise _corrupt(path, _complaint(errors))


def git_output(path: Path, *arguments: str, allowed: tuple[int, ...] = (0,)) -> bytes:
    """What a git command prints in a repository, without the user's configuration.

    Raises:
        ArchiveError: git is not installed, or exits with a code that is not allowed.
    """
    return _git(path, _git_dir(path), *arguments, allowed=allowed)


def start_git(path: Path, *arguments: str, errors: IO[bytes] | int = subprocess.DEVNULL) -> "subprocess.Popen[bytes]":
    """A git command in a repository that reads what it is written."""
    return _start(path, [*_command(_git_dir(path)), *arguments], errors, subprocess.PIPE)


def _git_dir(path: Path) -> Path:
    return path / ".git" if (path / ".git").exists() else path


def _start(
    path: Path, command: list[str], errors: IO[bytes] | int, stdin: IO[bytes] | int
) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(
            command, stdin=stdin, stdout=subprocess.PIPE, stderr=errors, env=_environment(), bufsize=1 << 20
        )
    except FileNotFoundError as error:
        raise ArchiveError(f"{path}: the program git is not installed", hint="apt-get install git") from error


def _git(path: Path, git_dir: Path, *arguments: str, allowed: tuple[int, ...] = (0,), refuse: str = "") -> bytes:
    """Output of a git command; exit codes that are not allowed and refused warnings become errors."""
    with tempfile.TemporaryFile() as errors:
        with _start(path, [*_command(git_dir), *arguments], errors, subprocess.DEVNULL) as process:
            assert process.stdout is not None
            output = process.stdout.read()
        complaint = _complaint(errors)
    if process.returncode not in allowed or (refuse and refuse in complaint):
        raise _corrupt(path, complaint)
    return output


def _command(git_dir: Path) -> list[str]:
    return ["git", "--no-replace-objects", f"--git-dir={git_dir}"]


def _environment() -> dict[str, str]:
    """The process's environment without git's own variables: a hook that calls us must not redirect git."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    quiet = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_GRAFT_FILE": f"{os.devnull}/none"}
    return {**kept, **quiet, "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}


def _complaint(errors: IO[bytes]) -> str:
    """What git wrote to its standard error, in one line."""
    errors.seek(0)
    return "; ".join(errors.read().decode("utf-8", "backslashreplace").splitlines())


def _corrupt(path: Path, complaint: str) -> ArchiveError:
    return ArchiveError(f"{path}: git can't read the repository: {complaint}", hint=f"git -C {path} fsck --full")
