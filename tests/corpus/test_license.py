"""Licence verdicts: a table of trees with what The Stack v2's logic makes of them, and whole little archives."""

import polars as pl
import pytest

from minicode_assets.config import License
from minicode_assets.corpus.annotate.license import NOTHING, Evidence, assign_license, covered_folder
from minicode_assets.corpus.annotate.license_files import POINTER
from minicode_assets.corpus.annotate.license_texts import FINGERPRINTS
from minicode_assets.corpus.annotate.spdx import UNRECOGNISED, Verdict, judge
from minicode_assets.schemas import DOCUMENTS, LICENSE
from tests.corpus.worlds import MIT_METADATA, make_world

PARAMS = License()
TEXTS = {f.spdx: ". ".join((*f.titles[:1], *f.clauses)).encode() for f in reversed(FINGERPRINTS)}
CODE = b"x = 1\n"
SETUP = b"from setuptools import setup\nsetup(name='a', license='MIT')\n"


TREES = [
    ({}, ("no_license", None, None)),
    ({"LICENSE": TEXTS["MIT"]}, ("permissive", "MIT", "origin")),
    ({"COPYING": TEXTS["GPL-3.0-only"]}, ("non_permissive", "GPL-3.0-only", "origin")),
    (
        {"LICENSE": TEXTS["MIT"], "COPYING": TEXTS["GPL-3.0-only"]},
        ("non_permissive", "GPL-3.0-only AND MIT", "origin"),
    ),
    ({"LICENSE": b"Do as we say."}, ("non_permissive", "LicenseRef-scancode-unknown", "origin")),
    ({"NOTICE": b"Thanks to all."}, ("no_license", None, None)),
    ({"a.dist-info/METADATA": MIT_METADATA}, ("permissive", "MIT", "metadata")),
    ({"a.dist-info/METADATA": MIT_METADATA, "LICENSE": b"Do as we say."}, ("permissive", "MIT", "metadata")),
    (
        {"a.dist-info/METADATA": MIT_METADATA, "a.dist-info/licenses/LICENSE": TEXTS["GPL-3.0-only"]},
        ("permissive", "MIT", "metadata"),
    ),
    (
        {"PKG-INFO": b"Metadata-Version: 2.1\nLicense: MIT\n", "LICENSE": TEXTS["GPL-3.0-only"]},
        ("non_permissive", "GPL-3.0-only AND MIT", "metadata"),
    ),
    (
        {
            "PKG-INFO": b"Metadata-Version: 2.1\nLicense: MIT\n",
            "LICENSE": TEXTS["MIT"],
            "LICENSE.fonts": TEXTS["OFL-1.1"],
        },
        ("permissive", "MIT", "metadata"),
    ),
    (
        {"LICENSE": TEXTS["MIT"], "pkg/LICENSE": TEXTS["GPL-3.0-only"]},
        ("non_permissive", "GPL-3.0-only AND MIT", "ancestor"),
    ),
    ({"LICENSE": TEXTS["MIT"], "other/LICENSE": TEXTS["GPL-3.0-only"]}, ("permissive", "MIT", "origin")),
    ({"pkg/LICENSES/MIT.txt": b"x", "pkg/LICENSES/LICENSE": TEXTS["MIT"]}, ("permissive", "MIT", "ancestor")),
    ({"setup.py": SETUP}, ("permissive", "MIT", "metadata")),
    ({"LICENSE": b"Released under the MIT license."}, ("permissive", "MIT", "origin")),
    (
        {"LICENSE": TEXTS["MIT"] + b"\n\nThe files in pkg/ are licensed under the GPL version 2."},
        ("non_permissive", "GPL-1.0-or-later AND MIT", "origin"),
    ),
    ({"LICENSE": b"See COPYING.", "COPYING": TEXTS["MIT"]}, ("permissive", "MIT", "origin")),
    ({"LICENSE": b"See COPYING."}, ("non_permissive", POINTER, "origin")),
    ({"LICENSE": b"Hippocratic License 2.1\n" + TEXTS["MIT"]}, ("non_permissive", "Hippocratic-2.1", "origin")),
    (
        {"LICENSE": TEXTS["MIT"], "pkg/sub/code.py.license": b"SPDX-License-Identifier: GPL-2.0-only\n"},
        ("non_permissive", "GPL-2.0-only", "header"),
    ),
    (
        {"LICENSE": TEXTS["MIT"], "pkg/sub/other.py.license": b"SPDX-License-Identifier: GPL-2.0-only\n"},
        ("permissive", "MIT", "origin"),
    ),
    (
        {"pkg/a.dist-info/METADATA": MIT_METADATA, "pkg/b.dist-info/METADATA": b"Metadata-Version: 2.1\nName: b\n"},
        ("non_permissive", f"{UNRECOGNISED} AND MIT", "ancestor"),
    ),
    (
        {
            "pkg/a.dist-info/METADATA": MIT_METADATA,
            "pkg/b.dist-info/METADATA": b"Metadata-Version: 2.1\nName: b\n",
            "pkg/b.dist-info/LICENSE": TEXTS["ISC"],
        },
        ("permissive", "ISC AND MIT", "ancestor"),
    ),
    (
        {"LICENSE-APACHE": TEXTS["Apache-2.0"], "LICENSE-MIT": TEXTS["MIT"]},
        ("permissive", "Apache-2.0 AND MIT", "origin"),
    ),
]
"""Files beside `pkg/sub/code.py`; its verdict, expression and rule."""


def test_trees(tmp_path):
    origins = {f"https://example.org/{n:02}": {"pkg/sub/code.py": CODE, **files} for n, (files, _) in enumerate(TREES)}
    world = make_world(tmp_path, origins).licenses()
    verdicts = world.read("documents", DOCUMENTS).join(world.read("license", LICENSE), on="document_id")
    rows = verdicts.filter(path="pkg/sub/code.py").sort("origin_url")
    assert rows.select("license_type", "license_expression", "license_rule").rows() == [told for _, told in TREES]
    assert rows["license_evidence"].is_null().to_list() == [told[0] == "no_license" for _, told in TREES]


HEADS = [
    ("# SPDX-License-Identifier: Apache-2.0\n", ("permissive", "Apache-2.0", "header")),
    ("# SPDX-License-Identifier: GPL-2.0-only OR MIT\n", ("permissive", "GPL-2.0-only OR MIT", "header")),
    ("# SPDX-License-Identifier: AGPL-3.0-only\n", ("non_permissive", "AGPL-3.0-only", "header")),
    (
        "# SPDX-License-Identifier: MIT\n# SPDX-License-Identifier: GPL-2.0-only\n",
        ("non_permissive", "GPL-2.0-only AND MIT", "header"),
    ),
    ("HEAD = 'SPDX-License-Identifier: GPL-2.0-only'\n", ("permissive", "MIT", "origin")),
    (
        "# This program is free software; you can redistribute it\n# and/or modify it under the terms of the GNU\n"
        "# General Public License, version 2.\n",
        ("non_permissive", "GPL-1.0-or-later AND MIT", "notice"),
    ),
    ("import re\nGPL = 'released under the GPL v2.'\n", ("permissive", "MIT", "origin")),
    (
        "# SPDX-License-Identifier: MIT\n# This file is licensed under the GPL.\n",
        ("non_permissive", "GPL-1.0-or-later AND MIT", "header"),
    ),
    (
        "# SPDX-License-Identifier: MIT OR GPL-2.0-only\n# It is distributed under the GPL.\n",
        ("permissive", "MIT OR GPL-2.0-only", "header"),
    ),
    ("# SPDX-License-Identifier: MIT/GPL-2.0\n", ("non_permissive", UNRECOGNISED, "header")),
    ("# SPDX-License-Identifier: Commercial-Foo\n", ("non_permissive", UNRECOGNISED, "header")),
    ("# SPDX-License-Identifier: Apache 2.0\n", ("permissive", "Apache-2.0", "header")),
    ("#!/bin/python # spdx-license-identifier : GPL-3.0-only\n", ("non_permissive", "GPL-3.0-only", "header")),
    ("# it writes 'SPDX-License-Identifier: GPL-2.0-only'\n", ("permissive", "MIT", "origin")),
]
"""Heads of files under an MIT licence, and what holds for them."""


def test_a_files_own_tag_decides(tmp_path):
    origins = {
        f"https://example.org/{n:02}": {"code.py": head.encode() + CODE, "LICENSE": TEXTS["MIT"]}
        for n, (head, _) in enumerate(HEADS)
    }
    world = make_world(tmp_path, origins).licenses()
    verdicts = world.read("documents", DOCUMENTS).join(world.read("license", LICENSE), on="document_id")
    rows = verdicts.sort("origin_url").select("license_type", "license_expression", "license_rule").rows()
    assert rows == [told for _, told in HEADS]


def test_origins_do_not_mix(tmp_path):
    origins = {
        "https://example.org/free": {"a.py": CODE, "LICENSE": TEXTS["MIT"]},
        "https://example.org/copyleft": {"a.py": CODE, "LICENSE": TEXTS["GPL-2.0-only"]},
        "https://example.org/none": {"a.py": CODE},
    }
    world = make_world(tmp_path, origins, num_prefixes=4).licenses()
    frame = world.read("documents", DOCUMENTS).join(world.read("license", LICENSE), on="document_id")
    assert dict(frame.select("origin_url", "license_type").iter_rows()) == {
        "https://example.org/free": "permissive",
        "https://example.org/copyleft": "non_permissive",
        "https://example.org/none": "no_license",
    }
    assert frame.filter(pl.col("license_type") == "permissive")["license_evidence"].to_list() == ["LICENSE"]


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("LICENSE", ""),
        ("pkg/LICENSE", "pkg"),
        ("LICENSES/MIT.txt", ""),
        ("attrs-25.1.dist-info/METADATA", ""),
        ("attrs-25.1.dist-info/licenses/LICENSE", ""),
        ("attrs-25.1.dist-info/licenses/src/vendored/LICENSE", ""),
        ("x/_vendor/attrs.dist-info/LICENSE", "x/_vendor"),
        ("a.egg-info/PKG-INFO", ""),
        ("deep/licenses/licenses/GPL", "deep"),
    ],
)
def test_covered_folder(path, folder):
    assert covered_folder(path) == folder


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", Verdict.PERMISSIVE),
        ("GPL-2.0-only", Verdict.RESTRICTIVE),
        ("MIT AND GPL-2.0-only", Verdict.RESTRICTIVE),
        ("MIT OR GPL-2.0-only", Verdict.PERMISSIVE),
        ("Apache-2.0 WITH LLVM-exception", Verdict.PERMISSIVE),
        ("GPL-2.0-only WITH Classpath-exception-2.0", Verdict.RESTRICTIVE),
        ("LicenseRef-scancode-public-domain", Verdict.PERMISSIVE),
        ("LicenseRef-scancode-dco-1.1", Verdict.IGNORABLE),
        ("LicenseRef-scancode-dco-1.1 AND MIT", Verdict.PERMISSIVE),
        ("LicenseRef-scancode-unknown", Verdict.RESTRICTIVE),
        ("LicenseRef-of-nobody", Verdict.RESTRICTIVE),
        ("CC-BY-NC-4.0", Verdict.RESTRICTIVE),
    ],
)
def test_judgement(expression, verdict):
    found = judge(
        expression, ignorable=frozenset(PARAMS.ignorable), permissive_categories=frozenset(PARAMS.permissive_categories)
    )
    assert found is verdict


def test_only_ignorable_evidence_is_no_license():
    evidence = Evidence("CLA.txt", "LicenseRef-scancode-generic-cla", "text", 1.0)
    assert assign_license((evidence,), (), params=PARAMS) == NOTHING
