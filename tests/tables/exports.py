"""A tiny export of either layout, made by hand, so that tests can damage one column of one file."""

import hashlib

import pyarrow as pa
import pyarrow.orc as orc
import pyarrow.parquet as pq


def oid(name):
    """A 20-byte id for a readable name."""
    return hashlib.sha1(name.encode()).digest()


def tables_2019():
    """Two origins; the second has no visit. One directory with a file, a subdirectory and a submodule."""
    return {
        "origin": {"id": [1, 2], "type": ["git", "git"], "url": ["https://a", "https://b"]},
        "origin_visit": {
            "origin": [1, 1],
            "visit": [1, 2],
            "date": [1_548_633_600_000_000, 1_548_720_000_000_000],
            "status": ["full", "partial"],
            "metadata": [None, None],
            "snapshot_id": pa.array([7.0, None], pa.float64()),
        },
        "snapshot": {"object_id": [7], "id": [oid("snapshot")]},
        "snapshot_branches": {"snapshot_id": [7, 7], "branch_id": [1, 2]},
        "snapshot_branch": {
            "object_id": [1, 2],
            "name": [b"HEAD", b"refs/tags/1"],
            "target": [oid("revision"), oid("release")],
            "target_type": ["revision", "release"],
        },
        "revision": {
            "id": [oid("revision")],
            "directory": [oid("root")],
            "date": [1_500_000_000_000_000],
            "committer_date": [1_500_000_000_000_000],
            "type": ["git"],
        },
        "release": {
            "id": [oid("release")],
            "name": [b"1"],
            "target": [oid("revision")],
            "target_type": ["revision"],
            "date": [1_500_000_000_000_000],
        },
        "directory": {
            "id": [oid("root"), oid("sub")],
            "dir_entries": pa.array([[4], None], pa.list_(pa.int64())),
            "file_entries": pa.array([[4], [4]], pa.list_(pa.int64())),
            "rev_entries": pa.array([[4], None], pa.list_(pa.int64())),
        },
        "directory_entry_dir": entry("sub", "sub", 0o040000),
        "directory_entry_file": entry("setup.py", "content", 0o100644),
        "directory_entry_rev": entry("module", "elsewhere", 0o160000),
        "content": {"sha1": [oid("sha1")], "sha1_git": [oid("content")], "length": [5]},
        "skipped_content": {
            "sha1": pa.array([None], pa.binary()),
            "sha1_git": [oid("skipped")],
            "length": [10**9],
        },
    }


def entry(name, target, perms):
    return {"id": [4], "target": [oid(target)], "name": [name.encode()], "perms": pa.array([perms], pa.int32())}


def tables_2021():
    """The same graph in the later layout."""

    def hexed(*names):
        return [oid(name).hex() for name in names]

    moment = pa.array([1_548_633_600_000_000_000], pa.timestamp("ns"))
    return {
        "origin": {"url": ["https://a", "https://b"]},
        "origin_visit": {"origin": ["https://a"], "visit": [1], "date": moment, "type": ["git"]},
        "origin_visit_status": {
            "origin": ["https://a"],
            "visit": [1],
            "date": moment,
            "status": ["full"],
            "snapshot": hexed("snapshot"),
        },
        "snapshot_branch": {
            "snapshot_id": hexed("snapshot", "snapshot"),
            "name": [b"HEAD", b"main"],
            "target": [b"main".hex(), *hexed("revision")],
            "target_type": ["alias", "revision"],
        },
        "revision": {"id": hexed("revision"), "committer_date": moment, "directory": hexed("root"), "type": ["git"]},
        "directory": {"id": hexed("root", "sub")},
        "directory_entry": {
            "directory_id": hexed("root", "root", "root", "sub"),
            "name": [b"sub", b"setup.py", b"module", b"setup.py"],
            "type": ["dir", "file", "rev", "file"],
            "target": hexed("sub", "content", "elsewhere", "content"),
            "perms": pa.array([0o040000, 0o100644, 0o160000, 0o100644], pa.int32()),
        },
        "content": {
            "sha1": hexed("sha1", "sha1 hidden"),
            "sha1_git": hexed("content", "hidden"),
            "length": [5, 6],
            "status": ["visible", "hidden"],
        },
    }


def write_export(folder, tables, *, suffix="parquet"):
    """Write each table as one file `0.<suffix>`; returns the folder."""
    for name, columns in tables.items():
        (folder / name).mkdir(parents=True)
        path = folder / name / f"0.{suffix}"
        table = pa.table(columns)
        if suffix == "orc":
            orc.write_table(table, path)
        else:
            pq.write_table(table, path)
    return folder
