"""Version orders against the tools that define them."""

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from packaging.version import Version

from minicode_assets.manifest.versions import archive_preference, debian_key, pep440_key

DEBIAN_ORDER = [
    "0:0~~",
    "0.9~rc1-1",
    "0.9-0.1",
    "0.9-1",
    "0.9-1+deb9u1",
    "0.9-1.1",
    "1.0~beta1~svn1245",
    "1.0~beta1",
    "1.0",
    "1.0-0.1",
    "1.0a",
    "1.0+dfsg-1",
    "1.2-3",
    "1.10-1",
    "2.10-1+deb9u1",
    "1:0.1",
    "2:0",
]
"""Ascending. Source: Debian Policy 5.6.12 and its examples."""


def test_debian_versions_ascend():
    keys = [debian_key(version) for version in DEBIAN_ORDER]
    assert keys == sorted(keys)
    assert len({str(key) for key in keys}) == len(keys)


@pytest.mark.parametrize(("left", "right"), [("1.0", "1.0-0"), ("1.0", "0:1.0"), ("1.01", "1.1"), ("1.", "1.0")])
def test_equal_debian_versions(left, right):
    assert debian_key(left) == debian_key(right)


_PIECES = st.lists(st.sampled_from(["0", "1", "10", "a", "Z", ".", "+", "~", "rc"]), min_size=1, max_size=6)
_DEBIAN = st.tuples(
    st.sampled_from(["", "0:", "2:"]), _PIECES.map("".join), st.sampled_from(["", "-1", "-0", "-1~b", "-a"])
)
DEBIAN_VERSIONS = _DEBIAN.map(lambda parts: f"{parts[0]}1{parts[1]}{parts[2]}")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is Debian's own; this machine has none")
@settings(max_examples=60)
@given(DEBIAN_VERSIONS, DEBIAN_VERSIONS)
def test_debian_order_is_dpkgs(left, right):
    before, equal = (
        subprocess.run(["dpkg", "--compare-versions", left, how, right], check=False, capture_output=True).returncode
        == 0
        for how in ("lt", "eq")
    )
    assert (debian_key(left) < debian_key(right), debian_key(left) == debian_key(right)) == (before, equal)


def test_pypi_versions_follow_pep_440_and_unknown_ones_sort_below():
    shuffled = ["1.0", "2.0rc1", "0.9.post1", "1!0.1", "1.10", "1.9", "2.0.dev1", "not-a-version", "2004d"]
    ordered = sorted(shuffled, key=pep440_key)
    assert ordered[:2] == ["not-a-version", "2004d"]  # words, then numbers
    assert [Version(v) for v in ordered[2:]] == sorted(Version(v) for v in ordered[2:])
    assert ordered[-1] == "1!0.1"


def test_source_archives_come_first():
    names = ["p-1.0-py3-none-any.whl", "p-1.0.zip", "P-1.0.TAR.GZ", "p-1.0.tar.bz2"]
    assert sorted(names, key=archive_preference)[0] == "P-1.0.TAR.GZ"
    assert sorted(names, key=archive_preference)[-1].endswith(".whl")
