"""Files that can't be read are notes, never a crash; what is read has the ids that git gives it."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from repositories import run_git

from minicode_assets.archive.files import COMPILED, add_files, size_of
from minicode_assets.archive.graph import Graph
from minicode_assets.swhid import EXECUTABLE_MODE, FILE_MODE


def test_the_tree_of_files_is_what_git_add_makes(graph, tmp_path):
    source = tmp_path / "source"
    for name in ("b.py", "a/b.py", "a.py", "a/z/deep.py", "a-b", "caf\udce9.py"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(b"# " + os.fsencode(name) + b"\xff\n")
    (source / "a" / "run").write_bytes(b"")
    (source / "a" / "run").chmod(0o755)
    paths = {os.fsencode(path.relative_to(source)): path for path in source.rglob("*") if path.is_file()}
    skipped = []
    root = graph.add_tree(add_files(graph, "pkg:x", paths, skipped))
    run_git(tmp_path, "init", "--quiet", source)
    run_git(source, "add", "--all")
    assert root.hex() == run_git(source, "write-tree").decode()
    assert skipped == []
    assert len(graph.directories) == 3
    assert graph.directories.keys() == {bytes.fromhex(t) for t in _git_trees(source, root.hex())}


def _git_trees(source, root):
    below = run_git(source, "ls-tree", "-r", "-d", "--format=%(objectname)", root).decode().split()
    return {root, *below}


def test_what_is_no_readable_file_is_noted_with_its_reason(graph, tmp_path):
    (tmp_path / "good.py").write_bytes(b"x = 1\n")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "linked.py").symlink_to("good.py")
    names = ["good.py", "folder", "pipe", "loop", "dangling", "absent", "linked.py", "loop/inner", "good.py/inner"]
    long_name = "n" * 300
    skipped = []
    files = add_files(graph, "pkg:x", {os.fsencode(n): tmp_path / n for n in [*names, long_name]}, skipped)
    assert set(files) == {b"good.py", b"linked.py"}
    assert files[b"linked.py"] == files[b"good.py"]  # installers link to their cache: the file counts, not the link
    assert {note.path: note.reason for note in skipped} == {
        "absent": "No such file or directory",
        "dangling": "No such file or directory",
        "folder": "found a folder, expected a regular file",
        "good.py/inner": "Not a directory",
        "loop": "Too many levels of symbolic links",
        "loop/inner": "Too many levels of symbolic links",
        "pipe": "found a named pipe, expected a regular file",
        long_name: "File name too long",
    }
    assert not any(str(tmp_path) in note.reason for note in skipped)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give its rights away and take them back")
def test_permission_denied_is_noted():
    folder = Path(tempfile.mkdtemp())
    try:
        (folder / "content").mkdir(mode=0o777)
        (folder / "content").chmod(0o777)
        (folder / "secret.py").write_bytes(b"x = 1\n")
        (folder / "secret.py").chmod(0)
        folder.chmod(0o755)
        graph, skipped = Graph(folder / "content", 100, 1), []
        os.seteuid(65_534)
        try:
            files = add_files(graph, "pkg:x", {b"\xff/secret.py": folder / "secret.py"}, skipped)
        finally:
            os.seteuid(0)
        assert files == {}
        assert skipped == [("pkg:x", "\\xff/secret.py", "Permission denied")]
    finally:
        shutil.rmtree(folder)


def test_a_long_file_is_hashed_and_not_stored(graph, tmp_path):
    (tmp_path / "long.py").write_bytes(b"x" * 10_001)
    (tmp_path / "just.py").write_bytes(b"x" * 10_000)
    files = add_files(graph, "u", {b"long.py": tmp_path / "long.py", b"just.py": tmp_path / "just.py"}, [])
    (skipped,) = graph.skipped_contents.values()
    assert skipped.length == 10_001
    assert files[b"long.py"] == (FILE_MODE, skipped.sha1_git)
    assert skipped.sha1_git.hex() == run_git(tmp_path, "hash-object", "long.py").decode()
    assert len(list(graph.content_folder.iterdir())) == 1


def test_equal_contents_are_stored_once(graph, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"same")
    (tmp_path / "b").chmod(0o700)
    files = add_files(graph, "u", {b"a": tmp_path / "a", b"b": tmp_path / "b"}, [])
    assert [mode for mode, _ in files.values()] == [FILE_MODE, EXECUTABLE_MODE]
    assert len(graph.contents) == len(list(graph.content_folder.iterdir())) == 1


@pytest.mark.parametrize(
    ("path", "compiled"),
    [
        (b"a/x.cpython-311-x86_64-linux-gnu.so", True),
        (b"numpy.libs/libopenblas.so.0", True),
        (b"pyarrow/libarrow.so.2600", True),
        (b"a/__pycache__/x.cpython-311.pyc", True),
        (b"__pycache__/x.py", True),
        (b"a/x.pyd", True),
        (b"a/x.py", False),
        (b"a/so.py", False),
        (b"a/data.so.py", False),
        (b"LICENSE", False),
        (b"a/x.pyx", False),
    ],
)
def test_compiled(path, compiled):
    assert bool(COMPILED.search(path)) == compiled


def test_size_of(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert [size_of(tmp_path / name) for name in ("a", "absent", "n" * 300, "a\0b")] == [3, -1, -1, -1]
    assert size_of(tmp_path) == -1
