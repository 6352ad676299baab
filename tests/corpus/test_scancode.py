"""ScanCode as a process: a real program that speaks its JSON, and the ways in which such a program fails.

The answers are in the form of scancode-toolkit 32.5.0, from a run over a postcard licence, GPL-3 and Beerware.
"""

import dataclasses
import stat
import sys
import time

import pytest

from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate import scancode
from minicode_assets.errors import CorpusError
from minicode_assets.schemas import LICENSE_FILES
from tests.corpus.worlds import make_world

PROGRAM = """#!{python}
import json, pathlib, sys, time
log = pathlib.Path(sys.argv[0]).with_name("asked")
output, folder = pathlib.Path(sys.argv[-2]), pathlib.Path(sys.argv[-1])
files = [{{"path": folder.name, "type": "directory"}}]
for path in sorted(folder.iterdir()):
    with log.open("a") as stream:
        stream.write(path.name + "\\n")
    text = path.read_bytes()
    if b"hang" in text:
        time.sleep(600)
    if b"crash" in text:
        sys.exit("no memory")
    file = {{"path": folder.name + "/" + path.name, "type": "file", "scan_errors": [], "license_detections": []}}
    file["detected_license_expression_spdx"] = None
    if b"slow" in text:
        file["scan_errors"] = ["ERROR: Processing interrupted: timeout after 1 seconds."]
    elif b"beer" in text:
        file["detected_license_expression_spdx"] = "Beerware"
        file["license_detections"] = [{{"matches": [{{"score": 50.0}}, {{"score": 85.42}}]}}]
    files.append(file)
output.write_text(json.dumps({{"headers": [{{"tool_version": "32.5.0"}}], "files": files}}))
"""


@pytest.fixture
def params(tmp_path):
    program = tmp_path / "scancode"
    program.write_text(PROGRAM.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return LicenseFiles(scancode=str(program), scancode_timeout_s=0.2)


def test_answers_are_cached_by_content_and_failures_asked_again(params, tmp_path):
    contents = {b"\1" * 20: b"a beer for me", b"\2" * 20: b"nothing", b"\3" * 20: b"slow"}
    expected = {b"\1" * 20: ("Beerware", "scancode", 0.5), b"\2" * 20: (None, None, None)}
    for _ in range(2):
        assert scancode.scan(contents, params=params, cache=tmp_path / "cache") == expected
    assert (tmp_path / "asked").read_text().split() == [key.hex() for key in contents] + ["03" * 20]


@pytest.mark.parametrize(
    ("change", "text", "expected"),
    [
        ({}, b"crash", "no memory"),
        ({}, b"hang", "no end after"),
        ({"scancode": "/no/such/program"}, b"x", "can't be started"),
        ({"scancode": "/bin/true"}, b"x", "no answer"),
        ({"scancode_version": "1.0"}, b"x", "version found 32.5.0, expected 1.0"),
    ],
)
def test_failures_are_told(params, tmp_path, monkeypatch, change, text, expected):
    monkeypatch.setattr(scancode, "_START_S", 1.0)
    started = time.monotonic()
    with pytest.raises(CorpusError, match=expected) as caught:
        scancode.scan({bytes(20): text}, params=dataclasses.replace(params, **change), cache=tmp_path / "cache")
    assert "hint:" in str(caught.value)
    assert time.monotonic() - started < 20
    assert not list((tmp_path / "cache").rglob("*.json"))


def test_only_the_unresolved_tail_is_asked(params, tmp_path):
    files = {
        "LICENSE": b"SPDX-License-Identifier: MIT\n",
        "sub/COPYING": b"give me a beer",
        "PKG-INFO": b"Metadata-Version: 2.1\nLicense: beer\n",
        "sub/code.py": b"x = 1\n",
    }
    world = make_world(tmp_path / "world", {"https://example.org/a": files}, num_prefixes=1)
    world = world.change("license_files", scancode=params.scancode).annotate()
    rows = world.read("license_files", LICENSE_FILES).select("expression", "rule").drop_nulls().sort("rule").rows()
    assert rows == [("Beerware", "scancode"), ("MIT", "tag")]
    assert len((tmp_path / "asked").read_text().split()) == 1
