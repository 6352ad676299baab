"""The standard library of the Python that runs the tests."""

import os
import sys

import pytest
from repositories import run_git

from minicode_assets.archive import standard_library
from minicode_assets.archive.files import add_files
from minicode_assets.archive.graph import Graph


def test_origin_is_a_package_url():
    version = ".".join(map(str, sys.version_info[:3]))
    assert standard_library.origin_url().startswith(f"pkg:generic/{sys.implementation.name}@{version}")


def test_sources_without_tests_and_installed_packages():
    files = standard_library.files()
    assert {b"LICENSE", b"Lib/os.py", b"Lib/json/__init__.py", b"Lib/asyncio/tasks.py"} <= set(files)
    parts = {part for name in files for part in name.split(b"/")}
    assert not parts & {b"test", b"tests", b"idle_test", b"__pycache__", b"site-packages", b"lib-dynload"}
    assert not [name for name in files if b"sysconfigdata" in name or name.endswith((b".pyc", b".so", b".whl"))]
    assert files[b"Lib/os.py"].samefile(os.__file__)


def test_the_licence_is_python_s():
    path = standard_library.licence_file()
    assert path is not None
    assert b"PYTHON SOFTWARE FOUNDATION LICENSE" in path.read_bytes()


@pytest.mark.slow
def test_tree_ids_are_git_s(tmp_path):
    (tmp_path / "content").mkdir()
    graph, skipped = Graph(tmp_path / "content", 10_000_000, 1), []
    files = standard_library.files()
    root = graph.add_tree(add_files(graph, "u", files, skipped))
    repository = tmp_path / "repository"
    run_git(tmp_path, "init", "--quiet", repository)
    for name, path in files.items():
        copy = repository / os.fsdecode(name)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
        copy.chmod(path.stat().st_mode)
    run_git(repository, "add", "--all", "--force")
    assert root.hex() == run_git(repository, "write-tree").decode()
    assert skipped == []
