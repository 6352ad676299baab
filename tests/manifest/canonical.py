"""Canonical tables made by hand, and the manifest that a plain recursion gives."""

import hashlib

import polars as pl

from minicode_assets.parquet import write_table
from minicode_assets.schemas import CANONICAL

DIRECTORY, FILE, EXECUTABLE, LINK, SUBMODULE = 0o040000, 0o100644, 0o100755, 0o120000, 0o160000


def oid(name):
    """A 20-byte id for a readable name."""
    return hashlib.sha1(name.encode()).digest()


def write_tables(root, *, absent=(), **rows):
    """Write every canonical table; rows are tuples in the schema's order. Returns the folders by name."""
    folders = {}
    for name, schema in CANONICAL.items():
        frame = pl.DataFrame(rows.get(name, []), schema=schema.polars, orient="row")
        folders[name] = root / schema.name
        write_table(folders[name], frame, schema, config_digest="", inputs={}, metadata={"present": name not in absent})
    return folders


def one_origin(branches, *, url="https://x", snapshot="s"):
    """Rows of one origin with one full visit: branches is name -> (type, target id or None)."""
    return {
        "origin": [(url,)],
        "origin_visit": [(url, 1, None, "full", oid(snapshot))],
        "snapshot_branch": [(oid(snapshot), name, target, kind) for name, (kind, target) in sorted(branches.items())],
    }
