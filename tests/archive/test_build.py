"""The artefact: what is in it, that it is the same twice, and that a killed or refused build leaves nothing behind."""

import dataclasses
import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

import polars as pl
import pytest
from pyarrow import orc
from repositories import commit, run_git

from minicode_assets.archive.build import build_archive, fingerprint
from minicode_assets.config import Archive, load
from minicode_assets.errors import ArchiveError, ConfigError, StorageError
from minicode_assets.parquet import read_table
from minicode_assets.schemas import CANONICAL
from minicode_assets.swhid import EMPTY_TREE
from minicode_assets.tables.normalise import normalise_table
from minicode_model.artifact import open_artifact


@pytest.fixture
def sources(install, tmp_path):
    """Two distributions, one of them with files that can't be read, and a repository."""
    install("alpha", files={"alpha/__init__.py": b"x = 1\n" * 10, "alpha-1.0.dist-info/licenses/LICENSE": b"MIT\n"})
    odd = {"beta.py": b"y = '\xe9'\n", "beta/LICENSE": b"MIT\n"}
    record = b"beta.py,,\nbeta/LICENSE,,\nbeta/absent.py,,\nbeta/caf\xe9.py,,\n"
    install("beta", "2.0", files=odd, record=record)
    run_git(tmp_path, "init", "--quiet", "--initial-branch=trunk", "project")
    commit(tmp_path / "project", b"app/main.py", b"print('x')\n", "one")
    return Archive(standard_library=False, distributions=("*",), git_repositories=(str(tmp_path / "project"),))


def build(folder, params):
    return build_archive(folder, params=params, config_digest="0" * 16)


def test_metadata_says_what_is_there_and_what_is_not(sources, tmp_path):
    artifact = build(tmp_path / "archive", sources)
    found = dict(artifact.metadata)
    assert found.pop("fingerprint") == fingerprint(sources)
    assert found.pop("skipped") == [
        {"origin": "pkg:pypi/beta@2.0", "path": "beta/absent.py", "reason": "No such file or directory"},
        {"origin": "pkg:pypi/beta@2.0", "path": "beta/caf\\xe9.py", "reason": "No such file or directory"},
    ]
    assert found.pop("origins") == [
        {"url": "file:///project", "kind": "git", "files": 1, "python_bytes": 11},
        {"url": "pkg:pypi/alpha@1.0", "kind": "pypi", "files": 3, "python_bytes": 60},
        {"url": "pkg:pypi/beta@2.0", "kind": "pypi", "files": 2, "python_bytes": 8},
    ]
    assert found == {
        "num_origins": 3,
        "num_snapshots": 3,
        "num_revisions": 3,
        "num_releases": 0,
        "num_directories": 7,  # beta/ and alpha's licenses/ are one
        "num_contents": 5,  # the licence is one, too
        "num_skipped_contents": 0,
        "python_bytes": 79,
        "left_out": [],
        "not_installed": [],
    }
    assert artifact.name == "archive"
    assert str(tmp_path) not in (tmp_path / "archive" / "manifest.json").read_text()


@pytest.mark.parametrize("layout", ["2019-01-28", "2021-03-23"])
def test_every_content_row_has_its_gzip_file(sources, tmp_path, layout):
    folder = build(tmp_path / "archive", dataclasses.replace(sources, layout=layout)).path
    if layout == "2019-01-28":
        rows = pl.read_parquet(folder / "graph/content/*.parquet").select("sha1", "sha1_git", "length")
    else:
        hexadecimal = pl.from_arrow(orc.read_table(folder / "graph/content/content-0.orc"))
        rows = hexadecimal.select(pl.col("sha1", "sha1_git").str.decode("hex"), "length")
    assert {sha1.hex() for sha1 in rows["sha1"]} == {path.name for path in (folder / "content").iterdir()}
    for sha1, sha1_git, length in rows.iter_rows():
        packed = (folder / "content" / sha1.hex()).read_bytes()
        blob = gzip.decompress(packed)
        assert packed[4:8] == bytes(4)  # gzip's time stamp
        assert (hashlib.sha1(blob).digest(), len(blob)) == (sha1, length)
        assert hashlib.sha1(b"blob %d\0" % length + blob).digest() == sha1_git


def test_a_distribution_is_a_release_with_a_head_alias(sources, tmp_path):
    folder = build(tmp_path / "archive", sources).path / "graph"

    def read(name):
        return pl.read_parquet(folder / name / "*.parquet")

    origin = read("origin").join(read("origin_visit"), left_on="id", right_on="origin")
    branches = origin.filter(pl.col("url") == "pkg:pypi/alpha@1.0").join(read("snapshot_branches"), on="snapshot_id")
    branches = branches.join(read("snapshot_branch"), left_on="branch_id", right_on="object_id").sort("name")
    assert branches.select("name", "target_type", "status", "visit", "type").rows() == [
        (b"HEAD", "alias", "full", 1, "pypi"),
        (b"releases/1.0", "revision", "full", 1, "pypi"),
    ]
    assert branches["target"][0] == b"releases/1.0"
    revision = read("revision").filter(pl.col("id") == branches["target"][1])
    assert revision.select("type", "date").rows() == [("tar", 1_548_633_600_000_000)]
    assert revision["directory"][0] in set(read("directory")["id"])


@pytest.mark.parametrize("layout", ["2019-01-28", "2021-03-23"])
def test_building_again_gives_the_same_bytes(sources, tmp_path, layout):
    params = dataclasses.replace(sources, layout=layout)
    first, second = build(tmp_path / "a" / "archive", params), build(tmp_path / "b" / "archive", params)
    assert first.files == second.files
    assert (tmp_path / "a/archive/manifest.json").read_bytes() == (tmp_path / "b/archive/manifest.json").read_bytes()


def test_distributions_are_taken_whole_in_order_of_name_while_they_fit(install, tmp_path):
    for name, size in (("a", 50), ("b", 101), ("c", 60), ("d", 30), ("e", 20)):
        install(name, files={f"{name}.py": b"#" * size, f"{name}.txt": b"#" * 999})
    params = Archive(standard_library=False, distributions=("*",), max_python_bytes=100, max_distribution_bytes=100)
    artifact = build(tmp_path / "archive", params)
    assert [origin["url"][9:10] for origin in artifact.metadata["origins"]] == ["a", "d", "e"]
    assert artifact.metadata["python_bytes"] == 100
    assert [
        (note["origin"], note["reason"].partition(" bytes of Python ")[2]) for note in artifact.metadata["left_out"]
    ] == [
        ("pkg:pypi/b@1.0", "exceed max_distribution_bytes 100"),
        ("pkg:pypi/c@1.0", "no longer fit in max_python_bytes 100"),
    ]


def test_a_distribution_without_record_is_left_out_with_the_reason(install, tmp_path):
    install("a")
    site = install("b")
    (site / "b-1.0.dist-info/RECORD").unlink()
    artifact = build(tmp_path / "archive", Archive(standard_library=False, distributions=("a", "b")))
    assert [origin["url"] for origin in artifact.metadata["origins"]] == ["pkg:pypi/a@1.0"]
    (note,) = artifact.metadata["left_out"]
    assert "RECORD can't be read" in note["reason"]
    assert str(site) not in note["reason"]


@pytest.mark.parametrize("case", ["no source", "empty repository", "nothing fits"])
def test_an_empty_archive_is_refused(install, tmp_path, case):
    params = Archive(standard_library=False, distributions=())
    if case == "empty repository":
        run_git(tmp_path, "init", "--quiet", "empty")
        params = dataclasses.replace(params, git_repositories=(str(tmp_path / "empty"),))
    elif case == "nothing fits":
        install("a")
        params = dataclasses.replace(params, distributions=("a",), max_python_bytes=1)
    with pytest.raises(ArchiveError, match="no content at all") as caught:
        build(tmp_path / "archive", params)
    assert "standard_library = true" in caught.value.hint
    assert not (tmp_path / "archive").exists()


def test_a_refused_build_keeps_the_former_archive(sources, tmp_path):
    former = build(tmp_path / "archive", sources)
    objects = tmp_path / "project/.git/objects"
    blob = run_git(tmp_path / "project", "rev-parse", "HEAD:app/main.py").decode()
    (objects / blob[:2] / blob[2:]).unlink()
    with pytest.raises(ArchiveError, match="project: git can't read"):
        build(tmp_path / "archive", sources)
    assert open_artifact(tmp_path / "archive").digest == former.digest
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_is_a_file(sources, tmp_path):
    (tmp_path / "taken").write_text("x")
    with pytest.raises(StorageError):
        build(tmp_path / "taken" / "archive", sources)


def test_every_wrong_limit_is_named():
    wrong = {"layout": "2018", "gzip_level": 0, "max_python_bytes": 0, "max_content_bytes": -1}
    with pytest.raises(ConfigError) as caught:
        load("tiny", {"archive": wrong})
    assert [name for name in wrong if f"[archive] {name}: found" not in str(caught.value)] == []


@pytest.mark.parametrize(
    "change",
    [
        "nothing",
        "layout",
        "file size",
        "new file",
        "version",
        "ref",
        "remote",
        "editable",
        "touch",
        "same size edit",
    ],
)
def test_fingerprint(sources, install, tmp_path, change):
    before, params = fingerprint(sources), sources
    site = tmp_path / "site-packages"
    if change == "layout":
        params = dataclasses.replace(sources, layout="2021-03-23")
    elif change == "file size":
        (site / "beta.py").write_bytes(b"longer than it was\n")
    elif change == "new file":
        (site / "beta/absent.py").write_bytes(b"")
    elif change == "version":
        shutil.rmtree(site / "alpha-1.0.dist-info")
        install("alpha", "1.1")
    elif change == "ref":
        run_git(tmp_path / "project", "tag", "new")
    elif change == "remote":
        run_git(tmp_path / "project", "remote", "add", "origin", "https://forge.example/p")
    elif change == "editable":
        (site / "alpha-1.0.dist-info/direct_url.json").write_text('{"dir_info": {"editable": true}}')
    elif change == "touch":
        os.utime(site / "beta.py", (1, 1))
    elif change == "same size edit":  # documented: not seen
        (site / "beta.py").write_bytes(b"z = '\xe9'\n")
    same = change in ("nothing", "touch", "same size edit")
    assert (fingerprint(params) == before) == same


@pytest.mark.slow
def test_fingerprint_of_the_tiny_preset_takes_less_than_a_second():
    params = load("tiny").archive
    seconds = []
    for _ in range(4):
        start = time.process_time()  # not the clock: the other tests share the processors
        fingerprint(params)
        seconds.append(time.process_time() - start)
    assert min(seconds) < 1


BUILD = """
import sys
from pathlib import Path
from minicode_assets.archive.build import build_archive
from minicode_assets.config import Archive
params = Archive(distributions=(), standard_library=True)
print(build_archive(Path(sys.argv[1]), params=params, config_digest="0" * 16).digest)
"""


def start_build(folder, seed):
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    return subprocess.Popen([sys.executable, "-c", BUILD, folder], stdout=subprocess.PIPE, env=environment)


@pytest.mark.slow
def test_a_killed_build_leaves_no_archive_and_the_next_one_is_whole(tmp_path):
    folder = tmp_path / "archive"
    process = start_build(folder, "1")
    partial = tmp_path / ".partial-archive" / "content"
    while process.poll() is None and not (partial.is_dir() and len(list(partial.iterdir())) > 100):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not folder.exists()
    assert not (partial.parent / "manifest.json").exists()
    digests = [start_build(path, seed).communicate()[0] for path, seed in ((folder, "2"), (tmp_path / "b", "3"))]
    assert digests[0] == digests[1] != b""
    open_artifact(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "b"]


@pytest.mark.slow
@pytest.mark.slow
def test_the_tiny_preset(tmp_path):
    params = load("tiny").archive
    artifact = build(tmp_path / "archive", params)
    found = artifact.metadata
    assert 0.9 * params.max_python_bytes < found["python_bytes"] <= params.max_python_bytes
    assert found["skipped"] == []
    assert not {"pkg:pypi/ruff", "pkg:pypi/pytest"} & {origin["url"].split("@")[0] for origin in found["origins"]}
    assert found["origins"][0]["url"].startswith("pkg:generic/")


def canonical(folder, target):
    """Every canonical table of an archive; directories joined with their entries, whose surrogate keys are free."""
    found = {}
    for name, schema in CANONICAL.items():
        normalise_table(folder / "graph", name, target / name, config_digest="", inputs={})
        found[name] = read_table(target / name, schema)
    listed = found["directory"].explode("entries").rename({"id": "directory"})
    found["directory"] = found["directory"].select("id", pl.col("entries").list.len())
    entries = found.pop("directory_entry")
    found["entries"] = listed.join(entries, left_on="entries", right_on="id", how="left").drop("entries")
    found["entries"] = found["entries"].sort("directory", "name")
    found["skipped_content"] = found["skipped_content"].drop("reason")  # 2019 has no such column
    return found


def test_both_layouts_become_the_same_canonical_tables(odd_repository, sources, tmp_path):
    repositories = (*sources.git_repositories, str(odd_repository))
    params = dataclasses.replace(sources, git_repositories=repositories, max_content_bytes=10_000)
    found = []
    for layout in ("2019-01-28", "2021-03-23"):
        folder = build(tmp_path / layout / "archive", dataclasses.replace(params, layout=layout)).path
        found.append(canonical(folder, tmp_path / layout))
    for name, table in found[0].items():
        assert table.equals(found[1][name]), name
        assert table.height > 0, name
    assert set(found[0]["entries"]["type"]) == {"dir", "file", "rev"}
    assert found[0]["directory"].filter(pl.col("entries") == 0)["id"].to_list() == [EMPTY_TREE]
