"""A large export out of real trees: projects with histories, as forks and releases share them in the archive.

A project is a run of the packages that are installed here: real names, shapes and sizes, with ids of its own. Its
history changes one file a commit, which gives a new entry and a new directory on every level above, as git does.
"""

import hashlib
import random
import sysconfig
from array import array
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

PARTS = 8
"""Files a table."""
MAX_FILES = 24
"""Files of a folder that are taken."""
SKIPPED = {"__pycache__", "site-packages"}
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

    def add_file(self, name: bytes, length: int) -> int:
        """A new content in a new entry; returns the entry's number."""
        self.file_names.append(name)
        self.file_targets.append(object_id("content", len(self.file_targets)))
        self.file_lengths.append(length)
        return len(self.file_names)

    def add_directory(self, folder: Folder) -> bytes:
        """The present state of a folder as a new directory; returns its id."""
        directory_id = object_id("directory", len(self.directory_ids))
        self.directory_ids.append(directory_id)
        self.dir_counts.append(len(folder.folders))
        self.file_counts.append(len(folder.files))
        self.dir_links.extend(folder.folders.values())
        self.file_links.extend(folder.files.values())
        return directory_id

    def add_link(self, name: bytes, target: bytes) -> int:
        """A new entry for a subdirectory; returns its number."""
        self.dir_names.append(name)
        self.dir_targets.append(target)
        return len(self.dir_names)


def real_packages() -> list[tuple[Path, int]]:
    """Installed files with their sizes, as paths relative to site-packages and the standard library.

    Folders keep their first `MAX_FILES` files: generated collections of hundreds of files in one folder are rarer in
    repositories (the sample export has 14 entries a directory) than in installed packages.
    """
    found = []
    for name in ("purelib", "stdlib"):
        root = Path(sysconfig.get_path(name))
        taken: Counter[Path] = Counter()
        for path in sorted(root.rglob("*")):
            relative = path.relative_to(root)
            if path.is_file() and relative.parent.name and not SKIPPED & set(relative.parts):
                taken[path.parent] += 1
                if taken[path.parent] <= MAX_FILES:
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


def generate(folder: Path, *, num_directories: int, num_projects: int, files_per_project: int) -> list[list[bytes]]:
    """Write the tables of an export of the 2019-01-28 layout, but for origins and their heads.

    Args:
        folder: Where the folder of each table goes.
        num_directories: At least so many directories.
        num_projects: Projects with histories.
        files_per_project: Files of a project.

    Returns:
        The root directories of each project's history.
    """
    choose = random.Random(1)
    packages = real_packages()
    export = Export()
    places: list[list[tuple[tuple[Folder, bytes], ...]]] = []
    history: list[list[bytes]] = []
    for project in range(num_projects):
        first = project * len(packages) // num_projects
        root = plant(export, (packages + packages)[first : first + files_per_project])
        places.append(chains(root))
        history.append([record(export, root)])
    while len(export.directory_ids) < num_directories:
        for project, folders in enumerate(places):
            history[project].append(commit(export, choose.choice(folders), choose))
    _write_directories(folder, export)
    _write_entries(folder, export)
    roots = [root for project in history for root in project]
    revisions = [revision_of(root) for root in roots]
    write(folder, "revision", {"id": pa.array(revisions), "directory": pa.array(roots)})
    return history


def revision_of(root: bytes) -> bytes:
    return object_id("revision", root.hex())


def add_heads(folder: Path, tables: Path, history: list[list[bytes]], num_heads: int) -> None:
    """An export with so many origins, each a fork or release of a project at some commit, over the same tables."""
    choose = random.Random(num_heads)
    num_projects = len(history)
    folder.mkdir()
    for table in tables.iterdir():
        (folder / table.name).symlink_to(table)
    numbers = list(range(1, num_heads + 1))
    urls = [f"https://forge.example/user{number:05d}/project{number % num_projects}" for number in numbers]
    roots = [choose.choice(history[number % num_projects]) for number in numbers]
    write(folder, "origin", {"id": numbers, "type": ["git"] * num_heads, "url": urls})
    visits = {"visit": [1] * num_heads, "date": [1_548_633_600_000_000] * num_heads, "status": ["full"] * num_heads}
    write(folder, "origin_visit", {"origin": numbers, **visits, "snapshot_id": numbers})
    write(folder, "snapshot", {"object_id": numbers, "id": [object_id("snapshot", url) for url in urls]})
    write(folder, "snapshot_branches", {"snapshot_id": numbers, "branch_id": numbers})
    targets = {"target": [revision_of(root) for root in roots], "target_type": ["revision"] * num_heads}
    write(folder, "snapshot_branch", {"object_id": numbers, "name": [b"HEAD"] * num_heads, **targets})


def _write_directories(folder: Path, export: Export) -> None:
    columns = {
        "id": pa.array(export.directory_ids),
        "dir_entries": lists(export.dir_counts, export.dir_links),
        "file_entries": lists(export.file_counts, export.file_links),
        "rev_entries": pa.nulls(len(export.directory_ids), pa.list_(pa.int64())),
    }
    write(folder, "directory", columns)


def _write_entries(folder: Path, export: Export) -> None:
    for kind, names, targets, mode in (
        ("dir", export.dir_names, export.dir_targets, DIRECTORY_MODE),
        ("file", export.file_names, export.file_targets, FILE_MODE),
        ("rev", [], [], 0),
    ):
        columns = {
            "id": np.arange(1, len(names) + 1),
            "target": pa.array(targets, pa.binary()),
            "name": pa.array(names, pa.binary()),
            "perms": np.full(len(names), mode, np.int32),
        }
        write(folder, f"directory_entry_{kind}", columns)
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
