"""A large export out of real trees: projects with histories, as forks and releases share them in the archive.

A project is a run of the packages that are installed here: real names, shapes and sizes, with ids of its own. Its
history changes one file a commit, which gives a new entry and a new directory on every level above, as git does.
"""

import hashlib
import random
import sysconfig
from array import array
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PARTS = 8
"""Files a table."""
FILE_MODE, DIRECTORY_MODE = 0o100644, 0o040000


def object_id(*parts: object) -> bytes:
    return hashlib.sha1("/".join(map(str, parts)).encode()).digest()


@dataclass
class Folder:
    """A directory of the present state of a project: the entry number of each name, and its subfolders."""

    files: dict[bytes, int] = field(default_factory=dict)
    folders: dict[bytes, int] = field(default_factory=dict)
    below: dict[bytes, "Folder"] = field(default_factory=dict)


@dataclass
class Export:
    """Columns of the growing tables."""

    directory_ids: list[bytes] = field(default_factory=list)
    dir_counts: array = field(default_factory=lambda: array("q"))
    file_counts: array = field(default_factory=lambda: array("q"))
    dir_links: array = field(default_factory=lambda: array("q"))
    file_links: array = field(default_factory=lambda: array("q"))
    dir_names: list[bytes] = field(default_factory=list)
    dir_targets: list[bytes] = field(default_factory=list)
    file_names: list[bytes] = field(default_factory=list)
    file_targets: list[bytes] = field(default_factory=list)
    file_lengths: array = field(default_factory=lambda: array("q"))
    revisions: list[tuple[bytes, bytes]] = field(default_factory=list)

    def add_file(self, name: bytes, length: int) -> int:
        self.file_names.append(name)
        self.file_targets.append(object_id("content", len(self.file_targets)))
        self.file_lengths.append(length)
        return len(self.file_names)

    def add_directory(self, folder: Folder) -> bytes:
        directory_id = object_id("directory", len(self.directory_ids))
        self.directory_ids.append(directory_id)
        self.dir_counts.append(len(folder.folders))
        self.file_counts.append(len(folder.files))
        self.dir_links.extend(folder.folders.values())
        self.file_links.extend(folder.files.values())
        return directory_id

    def add_link(self, name: bytes, target: bytes) -> int:
        self.dir_names.append(name)
        self.dir_targets.append(target)
        return len(self.dir_names)


def real_packages() -> list[tuple[Path, int]]:
    """Installed files with their sizes, as paths relative to site-packages and the standard library."""
    found = []
    for name in ("purelib", "stdlib"):
        root = Path(sysconfig.get_path(name))
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and "__pycache__" not in relative.parts and (name, relative.parts[0]) != (
                "stdlib",
                "site-packages",
            ):
                found.append((relative, path.stat().st_size))
    return found


def plant(export: Export, files: list[tuple[Path, int]]) -> Folder:
    """The first state of a project."""
    root = Folder()
    for path, length in files:
        folder = root
        for part in path.parts[:-1]:
            folder = folder.below.setdefault(part.encode(), Folder())
        name = path.name.encode()
        folder.files[name] = export.add_file(name, length)
    return root


def record(export: Export, folder: Folder) -> bytes:
    """Write a whole tree; returns its id."""
    for name, below in folder.below.items():
        folder.folders[name] = export.add_link(name, record(export, below))
    return export.add_directory(folder)


def chains(root: Folder) -> list[tuple[tuple[Folder, bytes], ...]]:
    """Every folder with files: the (folder, name) steps from the root, then the folder itself with a file's name."""
    found: list[tuple[tuple[Folder, bytes], ...]] = []
    pending: list[tuple[Folder, tuple[tuple[Folder, bytes], ...]]] = [(root, ())]
    while pending:
        folder, steps = pending.pop()
        if folder.files:
            found.append((*steps, (folder, b"")))
        pending += [(below, (*steps, (folder, name))) for name, below in folder.below.items()]
    return found


def commit(export: Export, steps: tuple[tuple[Folder, bytes], ...], choose: random.Random) -> bytes:
    """Change one file of a folder; returns the id of the new root."""
    folder = steps[-1][0]
    name = choose.choice(list(folder.files))
    folder.files[name] = export.add_file(name, choose.randrange(100, 50_000))
    directory_id = export.add_directory(folder)
    for above, name in reversed(steps[:-1]):
        above.folders[name] = export.add_link(name, directory_id)
        directory_id = export.add_directory(above)
    return directory_id


def generate(folder: Path, *, num_directories: int, num_projects: int, files_per_project: int, heads: int) -> None:
    """Write an export of the 2019-01-28 layout.

    Args:
        folder: Where the folder of each table goes.
        num_directories: At least so many directories.
        num_projects: Projects with histories.
        files_per_project: Files of a project.
        heads: Origins; each is a fork or release of a project, at some commit of its history.
    """
    choose = random.Random(1)
    packages = real_packages()
    export = Export()
    places: list[list[tuple[tuple[Folder, bytes], ...]]] = []
    history: list[list[bytes]] = []
    for project in range(num_projects):
        first = project * len(packages) // num_projects
        chosen = (packages + packages)[first : first + files_per_project]
        root = plant(export, chosen)
        places.append(chains(root))
        history.append([record(export, root)])
    while len(export.directory_ids) < num_directories:
        for project, folders in enumerate(places):
            history[project].append(commit(export, choose.choice(folders), choose))
    wanted = [
        (f"https://forge.example/user{head}/project{head % num_projects}", choose.choice(history[head % num_projects]))
        for head in range(heads)
    ]
    for project in history:
        export.revisions += [(object_id("revision", root.hex()), root) for root in project]
    _write(folder, export, wanted)


def _write(folder: Path, export: Export, heads: list[tuple[str, bytes]]) -> None:
    ones = list(range(1, len(heads) + 1))
    write(folder, "origin", {"id": ones, "type": ["git"] * len(heads), "url": [url for url, _ in heads]})
    write(
        folder,
        "origin_visit",
        {
            "origin": ones,
            "visit": [1] * len(heads),
            "date": [1_548_633_600_000_000] * len(heads),
            "status": ["full"] * len(heads),
            "snapshot_id": ones,
        },
    )
    write(folder, "snapshot", {"object_id": ones, "id": [object_id("snapshot", url) for url, _ in heads]})
    write(folder, "snapshot_branches", {"snapshot_id": ones, "branch_id": ones})
    targets = pa.array([object_id("revision", root.hex()) for _, root in heads], pa.binary())
    kinds = ["revision"] * len(heads)
    write(folder, "snapshot_branch", {"object_id": ones, "name": [b"HEAD"] * len(heads), "target": targets, "target_type": kinds})
    ids, directories = zip(*export.revisions, strict=True)
    write(folder, "revision", {"id": pa.array(ids), "directory": pa.array(directories)})
    write(
        folder,
        "directory",
        {
            "id": pa.array(export.directory_ids),
            "dir_entries": lists(export.dir_counts, export.dir_links),
            "file_entries": lists(export.file_counts, export.file_links),
            "rev_entries": pa.nulls(len(export.directory_ids), pa.list_(pa.int64())),
        },
    )
    for kind, names, found, mode in (
        ("dir", export.dir_names, export.dir_targets, DIRECTORY_MODE),
        ("file", export.file_names, export.file_targets, FILE_MODE),
        ("rev", [], [], 0),
    ):
        numbers = np.arange(1, len(names) + 1)
        write(
            folder,
            f"directory_entry_{kind}",
            {
                "id": numbers,
                "target": pa.array(found, pa.binary()),
                "name": pa.array(names, pa.binary()),
                "perms": np.full(len(names), mode, np.int32),
            },
        )
    sha1 = [object_id("sha1", number) for number in range(len(export.file_targets))]
    lengths = np.frombuffer(export.file_lengths, np.int64)
    write(folder, "content", {"sha1": pa.array(sha1), "sha1_git": pa.array(export.file_targets), "length": lengths})


def lists(counts: array, links: array) -> pa.Array:
    sizes = np.frombuffer(counts, np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]).astype(np.int32)
    mask = pa.array(np.append(sizes == 0, False))
    masked = pa.array(offsets, mask=mask.to_numpy(zero_copy_only=False))
    return pa.ListArray.from_arrays(masked, pa.array(np.frombuffer(links, np.int64)))


def write(folder: Path, name: str, columns: dict[str, object]) -> None:
    table = pa.table(columns)
    (folder / name).mkdir(parents=True)
    step = -(-max(table.num_rows, 1) // (PARTS if table.num_rows > 100_000 else 1))
    for number, first in enumerate(range(0, max(table.num_rows, 1), step)):
        pq.write_table(table.slice(first, step), folder / name / f"{number}.parquet")
