"""What sentences state and forbid: a table of them, with attacks, and every permissive text that forbids nothing."""

import lzma
import time

import pytest

from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate.license_files import detect
from minicode_assets.corpus.annotate.license_names import license_of_name
from minicode_assets.corpus.annotate.license_statements import forbidden_by, noticed_in, stated_license
from minicode_assets.corpus.annotate.package_metadata import declared_license, is_package_metadata
from minicode_assets.corpus.annotate.spdx import categories, is_permissive
from minicode_assets.corpus.annotate.spdx_texts import TEXTS

GPL, GPL_3, LGPL = "GPL-1.0-or-later", "GPL-3.0-or-later", "LGPL-2.0-or-later"
PROPRIETARY = "LicenseRef-scancode-proprietary-license"
KNOWN = dict(line.split("\t") for line in lzma.decompress(TEXTS.read_bytes()).decode().splitlines())
HEADING = "License\n-------\n"


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ("# Foo\n\n## License\n\nMIT\n", "MIT"),
        (f"{HEADING}This project is licensed under the BSD 3-Clause License - see LICENSE.\n", "BSD-3-Clause"),
        (f"{HEADING}See LICENSE.\n", None),
        ("# Foo\n\n* License: GPL v3\n", GPL_3),
        ("# Foo\n\n* License: MIT\n", None),
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
        ("The Software shall not be used for military purposes.", f"{PROPRIETARY} AND MIT"),
        ("You are not permitted to use it as training data for machines.", f"{PROPRIETARY} AND MIT"),
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
    # They say so: for research only, the GPL instead, other files of the package under the Artistic Licence or the GPL.
    assert {name for name, text in permissive.items() if forbidden_by(text)} == {
        "3D-Slicer-1.0",
        "Brian-Gladman-3-Clause",
        "psutils",
    }


IMPORTS_FIRST = "from __future__ import unicode_literals\nimport os\n"
BOX = "# ***\n# * This is free software; you can redistribute it and/or modify it  *\n# * under the terms of {} *\n"


@pytest.mark.parametrize(
    ("head", "noticed"),
    [
        (IMPORTS_FIRST + BOX.format("the GNU Lesser General Public License"), [LGPL]),
        ("import os\n\ndef f():\n    pass\n# This file is licensed under the GPL.\n", [GPL]),
        ("# License: GPL v3\n", [GPL_3]),
        ('"""Foo.\n\n:license: GNU LGPL v2.1, see LICENSE\n"""\n', [LGPL]),
        ("# @license GPL-2.0\n", ["GPL-2.0-only"]),
        ('import os\n__license__ = "GPLv3"\n', [GPL_3]),
        ("# Lizenz: GPL\n", [GPL]),
        ("# ... suivant les termes de la GNU General Public License\n", [GPL]),
        ("# Licensed under CC BY-NC-SA 4.0\n", ["CC-BY-NC-4.0"]),
        ("# Licensed under the Creative Commons Attribution-ShareAlike licence.\n", ["CC-BY-SA-4.0"]),
        ("# Unauthorized copying of this file, via any medium, is strictly prohibited.\n", [PROPRIETARY]),
        ("# Confidential and proprietary information of Foo.\n", [PROPRIETARY]),
        ("# You can redistribute it under the term of\n# GNU Public Licence, v2\n", [GPL]),
        ("# License: MIT\n", []),
        ('"""Tells whether a file is licensed under the GPL."""\n', []),
        ("# License: MIT or GPL\n", []),
        ("# License: BSD, compatible with the GPL\n", []),
        ("# Dual licensed under MIT and GPL.\n", []),
        ("# Choose one: 1) GNU GPLv2 2) PSF licence\n", []),
        ("# This is not under the GNU General Public License.\n", []),
        ("# It has no GNU General Public Licensed code, so proprietary projects may use it.\n", []),
        ("# For internal use only: the public names are in api.py, whose licence is MIT.\n", []),
        ('print("licensed under the GPL")\n', []),
        ('def f():\n    """Whether a text is licensed under the GPL."""\n', []),
        ('NOTICE = """\nThis is licensed under the GPL.\n"""\n', []),
    ],
)
def test_what_the_head_of_a_file_says(head: str, noticed: list[str]) -> None:
    assert noticed_in(head) == noticed


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
        ("from setuptools import setup\n__license__ = 'GNU LGPL v2.1'\nsetup(license=__license__)\n", LGPL),
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


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("GNU LGPL v2.1", LGPL),
        ("GNU General Public License version 3", GPL),
        ("GPL v.3", GPL),
        ("LGPL3", LGPL),
        ("GNU AGPLv3", "AGPL-3.0-or-later"),
        ("http://www.fsf.org/licensing/licenses/gpl.html", GPL),
        ("GPL v2 or any later version", GPL),
        ("CC BY-NC-SA 4.0", "CC-BY-NC-4.0"),
        ("Artistic License", "Artistic-1.0"),
        ("MPL 1.1", "MPL-1.1"),
        ("MIT + Commons Clause", "LicenseRef-scancode-commons-clause"),
        ("Free for non-commercial use", PROPRIETARY),
        ("Freeware", PROPRIETARY),
        ("MIT/BSD/GPL", f"BSD-3-Clause OR MIT OR {GPL}"),
        ("BSD or GPL", f"BSD-3-Clause OR {GPL}"),
        ("The MIT License (MIT)", "MIT"),
        ("MIT License (see LICENSE.txt)", "MIT"),
        ("OSI Approved :: MIT License", "MIT"),
        ("Public Domain", "LicenseRef-scancode-public-domain"),
        ("MIT, with changes", None),
        ("not GPL", None),
        ("LICENSE.txt", None),
        ("UNKNOWN", None),
    ],
)
def test_names_in_metadata(value: str, expression: str | None) -> None:
    found = license_of_name(value)
    assert (found.expression if found else None) == expression
