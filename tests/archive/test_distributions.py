"""Which distributions: the closure of run-time requirements; which files: the sources that RECORD lists."""

import importlib.metadata
import json

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from minicode_assets.archive.distributions import find_installed, python_bytes, wanted_distributions
from minicode_assets.errors import ArchiveError


def names_of(roots):
    found, absent = wanted_distributions(roots)
    return [installed.name for installed in found], absent


def test_the_closure_follows_markers_and_extras_and_no_development_extra(install):
    install(
        "App",
        requires=[
            "Lib.One[fast]>=1",
            "tester; extra == 'dev'",
            "windows-only; sys_platform == 'nowhere'",
            "gone",
            "not a requirement!!",
        ],
        extras=["dev"],
    )
    install(
        "lib_one", requires=["quick; extra == 'fast'", "slow; extra == 'other'", "shared"], extras=["fast", "other"]
    )
    for name in ("tester", "windows-only", "quick", "slow", "unrelated"):
        install(name)
    install("shared", requires=["app"])  # a circle
    assert names_of(["app"]) == (["app", "lib-one", "quick", "shared"], ["gone"])
    assert names_of(["app[dev]"])[0] == ["app", "lib-one", "quick", "shared", "tester"]
    assert names_of(["slow", "quick"]) == (["quick", "slow"], [])
    assert names_of([]) == ([], [])
    everything = ["app", "lib-one", "quick", "shared", "slow", "tester", "unrelated", "windows-only"]
    assert names_of(["*"]) == (everything, ["gone"])


def test_an_editable_install_is_left_out_with_its_requirements_taken(install):
    site = install("work", requires=["lib"])
    install("lib")
    direct = {"url": "file:///somewhere", "dir_info": {"editable": True}}
    (site / "work-1.0.dist-info/direct_url.json").write_text(json.dumps(direct))
    assert names_of(["work"]) == (["lib"], [])
    (site / "work-1.0.dist-info/direct_url.json").write_text("{broken")
    assert names_of(["work"]) == (["lib", "work"], [])


@pytest.mark.parametrize(
    ("root", "message"), [("absent", "'absent' is not installed"), ("no name!", "is no distribution name")]
)
def test_an_unknown_root(install, root, message):
    install("lib")
    with pytest.raises(ArchiveError, match=message) as caught:
        wanted_distributions([root])
    assert caught.value.hint


def test_the_first_folder_of_the_search_path_wins(install, tmp_path, monkeypatch):
    site = install("lib", "2.0")
    other = tmp_path / "other"
    (other / "Lib-1.0.dist-info").mkdir(parents=True)
    (other / "Lib-1.0.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: Lib\nVersion: 1.0\n")
    assert find_installed([str(other), str(site), "/nowhere"])["lib"].url == "pkg:pypi/lib@1.0"
    assert find_installed([str(site), str(other)])["lib"].url == "pkg:pypi/lib@2.0"


@pytest.mark.parametrize("metadata", [None, b"", b"Name: x\n", b"Version: 1\n", b"\xff\xfe\x00"])
def test_a_broken_dist_info_folder_is_passed_over(install, metadata):
    site = install("lib")
    (site / "x-1.dist-info").mkdir()
    if metadata is not None:
        (site / "x-1.dist-info/METADATA").write_bytes(metadata)
    assert list(find_installed([str(site)])) == ["lib"]


def test_files_are_the_sources_below_site_packages(install):
    files = {
        "pkg/__init__.py": b"12345",
        "pkg/stub.pyi": b"123",
        "pkg/fast.c": b"int x;",
        "pkg/table.json": b"{}",
        "pkg/fast.so": b"\x7fELF",
        "pkg/__pycache__/__init__.cpython-311.pyc": b"",
        "lib-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: lib\nVersion: 1.0\n",
        "lib-1.0.dist-info/licenses/LICENSE": b"MIT",
        "lib-1.0.dist-info/INSTALLER": b"pip",
        "lib-1.0.dist-info/direct_url.json": b"{}",
        "lib-1.0.dist-info/REQUESTED": b"",
        "pkg/INSTALLER": b"no installer's file here",
    }
    lines = [f"{path},sha256=x,1" for path in files]
    lines += ["../../../bin/tool,,", "/etc/passwd,,", "pkg/../../escape.py,,", "./dot.py,,", "pkg//twice.py,,", ""]
    lines += ['"pkg/with,comma.py",,']
    record = "\n".join(lines).encode() + b"\npkg/caf\xe9.py,,\n"
    site = install("lib", files=files, record=record)
    (found,) = wanted_distributions(["lib"])[0]
    listed = found.files()
    assert set(listed) == {
        b"pkg/__init__.py",
        b"pkg/stub.pyi",
        b"pkg/fast.c",
        b"pkg/table.json",
        b"pkg/INSTALLER",
        b"pkg/with,comma.py",
        b"pkg/caf\xe9.py",
        b"lib-1.0.dist-info/METADATA",
        b"lib-1.0.dist-info/licenses/LICENSE",
    }
    assert listed[b"pkg/fast.c"] == site / "pkg/fast.c"
    assert python_bytes(listed) == 8


@pytest.mark.parametrize("damage", ["absent", "a folder", "too long a field"])
def test_a_record_that_cannot_be_read(install, damage):
    site = install("lib")
    record = site / "lib-1.0.dist-info/RECORD"
    record.unlink()
    if damage == "a folder":
        record.mkdir()
    elif damage == "too long a field":
        record.write_bytes(b"x" * 200_000)
    (found,) = wanted_distributions(["lib"])[0]
    with pytest.raises(ArchiveError, match=r"lib 1\.0: RECORD can't be read") as caught:
        found.files()
    assert "force-reinstall lib==1.0" in caught.value.hint


def test_the_closure_of_this_project_is_what_importlib_metadata_says():
    found, _ = wanted_distributions(["minicode"])
    names = {installed.name for installed in found}
    direct = [Requirement(line) for line in importlib.metadata.requires("minicode") or []]
    wanted = {canonicalize_name(r.name) for r in direct if r.marker is None or r.marker.evaluate({"extra": ""})}
    assert wanted <= names
    assert "minicode" not in names
    assert not {"ruff", "mypy", "playwright", "pytest"} & names
    for installed in found:
        assert installed.version == importlib.metadata.version(installed.name)
        listed = {str(path).encode() for path in importlib.metadata.files(installed.name)}
        assert set(installed.files()) <= listed
