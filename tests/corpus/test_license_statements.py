"""What sentences state and forbid: a table of them, with attacks, and every permissive text that forbids nothing."""

import lzma
import time

import pytest

from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate.license_files import detect
from minicode_assets.corpus.annotate.license_statements import forbidden_by, is_permissive, stated_license
from minicode_assets.corpus.annotate.package_metadata import declared_license, is_package_metadata
from minicode_assets.corpus.annotate.spdx import categories
from minicode_assets.corpus.annotate.spdx_texts import TEXTS

GPL, PROPRIETARY = "GPL-1.0-or-later", "LicenseRef-scancode-proprietary-license"
KNOWN = dict(line.split("\t") for line in lzma.decompress(TEXTS.read_bytes()).decode().splitlines())
HEADING = "License\n-------\n"


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("# Foo\n\n## License\n\nMIT\n", "MIT"),
        (f"{HEADING}This project is licensed under the BSD 3-Clause License - see LICENSE.\n", "BSD-3-Clause"),
        (f"{HEADING}See LICENSE.\n", None),
        ("# Foo\nFoo is licensed under the MIT license.\n", "MIT"),
        ("Released under the Apache License, Version 2.0.\n", "Apache-2.0"),
        ("Distributed under the terms of the GNU General Public License v3.", GPL),
        ("Foo is dual-licensed under the MIT license or the GPL v2.", "MIT OR GPL-2.0-or-later"),
        ("Licensed under either of Apache License, Version 2.0 or MIT license at your option.", "Apache-2.0 OR MIT"),
        ("This is licensed under the MIT license. The fonts are under the LGPL.", "LGPL-2.0-or-later AND MIT"),
        ("It is distributed under the MIT license, for non-commercial use only.", f"{PROPRIETARY} AND MIT"),
        ("This is not licensed under the MIT license.", None),
        ("It was formerly released under the MIT license.", None),
        ("Plugin x uses y, which is released under the MIT license.", None),
        ("All rights reserved. Licensed under our terms.", None),
        ("", None),
    ],
)
def test_what_is_stated(text: str, stated: str | None) -> None:
    assert stated_license(text) == stated


@pytest.mark.parametrize(
    ("rider", "expression"),
    [
        ("Exception: src/core is licensed under the GNU General Public License, version 2.", f"{GPL} AND MIT"),
        ("The directory contrib/ is under GPLv3.", "GPL-3.0-or-later AND MIT"),
        ("You may not use it; it cannot be used for any commercial purpose.", f"{PROPRIETARY} AND MIT"),
        ("The Software may only be used for academic research.", f"{PROPRIETARY} AND MIT"),
        ("Portions Copyright Foo, licensed under the GPL.", f"{GPL} AND MIT"),
        ("This software is not licensed under the GPL.", "MIT"),
        ("It is compatible with software that is released under the GPL.", "MIT"),
        ("All rights reserved.", "MIT"),
    ],
)
def test_a_rider_on_the_mit_licence(rider: str, expression: str) -> None:
    assert detect(f"{KNOWN['MIT']}.\n\n{rider}\n".encode(), params=LicenseFiles())[0] == expression


def test_permissive_texts_forbid_nothing() -> None:
    permissive = {name: text for name, text in KNOWN.items() if categories().get(name.lower()) == "Permissive"}
    assert len(permissive) > 300
    # Both say so: the first is for research only, the second allows the GPL instead.
    assert {name for name, text in permissive.items() if forbidden_by(text)} == {
        "3D-Slicer-1.0",
        "Brian-Gladman-3-Clause",
    }


@pytest.mark.parametrize(
    ("text", "declared"),
    [
        ("from setuptools import setup\nsetup(name='x', license='MIT')\n", "MIT"),
        ("from distutils.core import setup\nprint 'x'\nsetup(license='BSD')\n", "BSD-3-Clause"),
        (
            "import setuptools\nsetuptools.setup(\n  classifiers=['License :: OSI Approved :: MIT License'])\n",
            "MIT",
        ),
        ("from setuptools import setup\nsetup(license=open('LICENSE').read())\n", None),
        ("from setuptools import setup\n# license='MIT'\nsetup()\n", None),
    ],
)
def test_setup_scripts(text: str, declared: str | None) -> None:
    assert is_package_metadata(text)
    found = declared_license(text, min_score_fraction=0.9)
    assert (found.expression if found else None) == declared


@pytest.mark.parametrize(
    ("expression", "permissive"),
    [("MIT", True), ("MIT AND GPL-2.0-only", False), ("GPL-2.0-only OR MIT", True), ("LicenseRef-of-nobody", False)],
)
def test_permissive_expressions(expression: str, permissive: bool) -> None:
    assert is_permissive(expression) == permissive


@pytest.mark.parametrize("word", ["licensed under the ", "licensed under the mit or ", "is ", "# License\n", "x. "])
def test_a_hostile_readme_takes_no_time(word: str) -> None:
    started = time.process_time()
    stated_license(word * (1_000_000 // len(word)))
    assert time.process_time() - started < 5
