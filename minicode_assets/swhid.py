"""Software Heritage identifiers and git object ids: pure bytes. Source: SWHID specification, git's object format."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

DIRECTORY_MODE = 0o040000
FILE_MODE = 0o100644
EXECUTABLE_MODE = 0o100755
SYMLINK_MODE = 0o120000
SUBMODULE_MODE = 0o160000
EMPTY_TREE = bytes.fromhex("4b825dc642cb6eb9a060e54bf8d69288fbee4904")


def content_ids(data: bytes) -> tuple[bytes, bytes]:
    """(sha1_git, sha1) of a blob, 20 bytes each."""
    return object_id("blob", data), hashlib.sha1(data).digest()


def object_id(kind: str, body: bytes) -> bytes:
    r"""Id (20 bytes) of a git object: SHA-1 over `<kind> <length>\0` and the body.

    Args:
        kind: blob, tree, commit, tag; snapshot for Software Heritage's own manifest.
        body: The serialised object.
    """
    return hashlib.sha1(f"{kind} {len(body)}\0".encode() + body).digest()


class TreeEntry(NamedTuple):
    """One entry of a directory: git mode, raw name, 20-byte id of what it names."""

    mode: int
    name: bytes
    target: bytes


class Branch(NamedTuple):
    """What a snapshot's branch points to.

    Attributes:
        target_type: content, directory, revision, release, snapshot, alias or dangling.
        target: 20 bytes; the other branch's name for an alias; empty when dangling.
    """

    target_type: str
    target: bytes


def tree_body(entries: Iterable[TreeEntry]) -> bytes:
    """Serialise a directory as git does: sorted by name, a directory as if its name ended in `/`."""
    ordered = sorted(entries, key=lambda entry: entry.name + b"/" * (entry.mode == DIRECTORY_MODE))
    return b"".join(b"%o %b\0%b" % entry for entry in ordered)


def tree_entries(body: bytes) -> Iterator[TreeEntry]:
    """The entries of a serialised directory, in its order.

    Raises:
        ValueError: The bytes are no git tree.
    """
    position = 0
    while position < len(body):
        space = body.index(b" ", position)
        end = body.index(b"\0", space)
        target = body[end + 1 : end + 21]
        if len(target) != 20:
            raise ValueError(f"tree entry at byte {position} is cut off")
        yield TreeEntry(int(body[position:space], 8), body[space + 1 : end], target)
        position = end + 21


def snapshot_body(branches: Mapping[bytes, Branch]) -> bytes:
    """Serialise a snapshot: branches sorted by raw name. Source: the SWHID specification, snapshots."""
    return b"".join(
        b"%b %b\0%d:%b" % (branch.target_type.encode(), name, len(branch.target), branch.target)
        for name, branch in sorted(branches.items())
    )


def core_swhid(kind: str, object_id: bytes) -> str:
    """`swh:1:<kind>:<hex>`; kind is cnt, dir, rev, rel, snp or ori."""
    return f"swh:1:{kind}:{object_id.hex()}"


def qualified_swhid(
    *, sha1_git: bytes, origin_url: str, snapshot: bytes, revision: bytes, path: bytes, anchor: str = "rev"
) -> str:
    """A content's SWHID with origin, visit, anchor and path, in the specification's order.

    The anchor is `revision`, which is a revision's id, or a release's or directory's where `anchor` is rel or dir.

    `;` and `%` are percent-encoded in the origin and the path, and bytes that are not UTF-8 in the path too.
    """
    encoded_origin = origin_url.replace("%", "%25").replace(";", "%3B")
    return (
        f"{core_swhid('cnt', sha1_git)};origin={encoded_origin};visit={core_swhid('snp', snapshot)}"
        f";anchor={core_swhid(anchor, revision)};path=/{encode_path(path)}"
    )


def encode_path(path: bytes) -> str:
    """A path for a SWHID qualifier: UTF-8; `%`, `;`, control characters and undecodable bytes percent-encoded."""
    text = path.decode("utf-8", errors="surrogateescape")
    return "".join(
        f"%{ord(c) - 0xDC00:02X}" if 0xDC80 <= ord(c) <= 0xDCFF else f"%{ord(c):02X}" if c in ";%" or c < " " else c
        for c in text
    )
