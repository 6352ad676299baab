"""Licence texts: the licence files of installed distributions, judged against what their metadata declares."""

import functools
import importlib.metadata
import lzma
import random
import time
from pathlib import Path

import pytest

from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate.license_files import detect
from minicode_assets.corpus.annotate.license_texts import FINGERPRINTS, normalise, recognise
from minicode_assets.corpus.annotate.spdx import UNRECOGNISED, canonical, categories
from minicode_assets.corpus.annotate.spdx_texts import TEXTS

PARAMS = LicenseFiles()
FINGERPRINT_BY_ID = {fingerprint.spdx: fingerprint for fingerprint in FINGERPRINTS}


@functools.cache
def installed_texts() -> list[tuple[str, str]]:
    """(declared SPDX identifier, licence text) of each distribution with one licence and one licence file."""
    found = {}
    for distribution in importlib.metadata.distributions():
        declared = distribution.metadata.get("License-Expression", "")
        files = [f for f in distribution.files or () if f.name.upper().startswith(("LICENSE", "LICENCE", "COPYING"))]
        if declared in FINGERPRINT_BY_ID and len(files) == 1:
            text = Path(str(files[0].locate())).read_text(encoding="utf-8", errors="replace")
            if len(normalise(text)) < 4000:
                found[distribution.name] = (declared, text)
    return sorted(found.values())


def test_installed_licences_are_recognised():
    texts = installed_texts()
    assert len(texts) >= 20
    wrong = [
        (declared, [match.spdx for match in recognise(text, min_score_fraction=0.9)])
        for declared, text in texts
        if [match.spdx for match in recognise(text, min_score_fraction=0.9)] != [declared]
    ]
    # Some packages carry the licences of what they bundle in the same file, or Python's whole licence stack, which is
    # more than the PSF-2.0 that they declare. None may lose its own licence.
    lost = [(declared, found) for declared, found in wrong if declared not in found]
    assert all((declared, "Python-2.0" in found) == ("PSF-2.0", True) for declared, found in lost)
    assert len(wrong) <= 0.15 * len(texts)


@pytest.mark.parametrize("declared", ["MIT", "BSD-3-Clause", "Apache-2.0", "MPL-2.0"])
def test_reflowed_commented_and_slightly_changed_texts_are_still_recognised(declared):
    text = next(text for spdx, text in installed_texts() if spdx == declared)
    words = text.split()
    reflowed = "\n".join("# " + " ".join(words[i : i + 7]) for i in range(0, len(words), 7))
    assert [m.spdx for m in recognise(reflowed, min_score_fraction=0.9)] == [declared]
    assert [m.spdx for m in recognise(text.upper().replace("LICENSE", "LICENCE"), min_score_fraction=0.9)] == [declared]


@pytest.mark.parametrize(
    ("less", "more", "clause"),
    [
        ("BSD-2-Clause", "BSD-3-Clause", 3),
        ("BSD-3-Clause", "BSD-4-Clause", 4),
        ("MIT-0", "MIT", 1),
        ("MIT", "X11", 2),
        ("0BSD", "ISC", 1),
    ],
)
def test_the_clause_that_makes_the_difference(less, more, clause):
    clauses = FINGERPRINT_BY_ID[more].clauses
    assert [m.spdx for m in recognise(". ".join(clauses), min_score_fraction=0.9)] == [more]
    rest = clauses[:clause] + clauses[clause + 1 :]
    assert [m.spdx for m in recognise(". ".join(rest), min_score_fraction=0.9)] == [less]


def test_shuffled_words_are_no_licence():
    words = " ".join(clause for f in FINGERPRINTS if not f.titles for clause in f.clauses).split()
    random.Random(1).shuffle(words)
    assert recognise(" ".join(words), min_score_fraction=0.9) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", None),
        ("All rights reserved.", None),
        ("SPDX-License-Identifier: GPL-2.0-or-later\n", "GPL-2.0-or-later"),
        ("# SPDX-License-Identifier: (MIT OR Apache-2.0)\n", "MIT OR Apache-2.0"),
        ("SPDX-License-Identifier: Nonsense-1.0\n", None),
        ("GNU GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n", "GPL-3.0-only"),
        ("GNU LESSER GENERAL PUBLIC LICENSE\n Version 3, 29 June 2007\n", "LGPL-3.0-only"),
        ("Business Source License 1.1\n", "BUSL-1.1"),
        ("Licensed for non-commercial use only.", "LicenseRef-scancode-proprietary-license"),
        (
            "Licensed under the Apache License, Version 2.0 (the License); you may not use this file except in "
            "compliance with the License.",
            "Apache-2.0",
        ),
    ],
)
def test_examples(text, expected):
    assert detect(text.encode(), params=PARAMS)[0] == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: mit or apache-2.0", ("MIT OR Apache-2.0", "expression", 1.0)),
        ("License: Apache 2.0", ("Apache-2.0", "metadata", 1.0)),
        ("License: The MIT License", ("MIT", "metadata", 1.0)),
        ("License: MPL-2.0 AND MIT", ("MPL-2.0 AND MIT", "metadata", 1.0)),
        ("License: BSD", ("BSD-3-Clause", "metadata", 0.8)),
        ("License: LGPL with exceptions", ("LGPL-2.0-or-later", "metadata", 1.0)),
        ("License: UNKNOWN\nClassifier: License :: OSI Approved :: MIT License", ("MIT", "metadata", 0.8)),
        (
            "Classifier: License :: OSI Approved :: MIT License\n"
            "Classifier: License :: OSI Approved :: GNU General Public License v3 (GPLv3)",
            ("GPL-3.0-only AND MIT", "metadata", 0.8),
        ),
        ("License: Our own", (None, None, None)),
        ("Name: thing", (None, None, None)),
    ],
)
def test_metadata_examples(fields, expected):
    assert detect(f"Metadata-Version: 2.4\n{fields}\n\nLicensed under GPL\n".encode(), params=PARAMS) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[project]\nname = "a"\nlicense = "MIT"\n', ("MIT", "expression", 1.0)),
        ('[project]\nlicense = "MIT License"\n', ("MIT", "metadata", 1.0)),
        ('[project]\nlicense = "LicenseRef-Acme"\n', (UNRECOGNISED, "expression", 1.0)),
        ('[project]\nlicense = {text = "BSD 3-Clause"}\n', ("BSD-3-Clause", "metadata", 1.0)),
        ('[tool.poetry]\nlicense = "Apache-2.0"\n', ("Apache-2.0", "metadata", 1.0)),
        ('[project]\nclassifiers = ["License :: OSI Approved :: ISC License (ISCL)"]\n', ("ISC", "metadata", 0.8)),
        ("[metadata]\nname = a\nlicense = MIT\n", ("MIT", "metadata", 1.0)),
        ("[metadata]\nclassifiers =\n  License :: OSI Approved :: MIT License\n", ("MIT", "metadata", 0.8)),
        ("[build-system]\nrequires = []\n", (None, None, None)),
        ("[project\n", (None, None, None)),
        ("[metadata]\nlicense = %(broken\n", (None, None, None)),
    ],
)
def test_project_files(text, expected):
    assert detect(text.encode(), params=PARAMS) == expected


def test_every_fingerprint_has_a_category():
    for fingerprint in FINGERPRINTS:
        assert canonical(fingerprint.spdx) == fingerprint.spdx
        assert fingerprint.spdx.partition(" WITH ")[0].lower() in categories()
        assert all(absorbed in FINGERPRINT_BY_ID for absorbed in fingerprint.absorbs)


def texts_of(*names: str) -> list[tuple[str, str]]:
    """(identifier, text) of licences of the SPDX list, as normalised words."""
    lines = lzma.decompress(TEXTS.read_bytes()).decode().splitlines()
    return [(name, words) for name, _, words in (line.partition("\t") for line in lines) if not names or name in names]


def test_every_text_of_the_list_is_itself():
    wrong = [name for name, words in texts_of() if detect(words.encode(), params=PARAMS) != (name, "hash", 1.0)]
    assert len(texts_of()) > 600
    # Their words hold a copyright line of their own, which the list keeps in the middle of a line.
    assert len(wrong) <= 5, wrong


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "Copyright (c) 1999-2026 A. N. Other\n(c) Somebody\nAll of it:\n" + text,
        lambda text: "<html><body><p>" + text.replace(" ", " <br> ") + "&quot;</p></body></html>",
        lambda text: "License\n=======\n\n.. code::\n\n  *" + text.replace(" or ", " **or** ") + "*",
        lambda text: text[: int(len(text) * 0.93)],
        lambda text: " ".join("Nobody" if i % 97 == 50 else word for i, word in enumerate(text.split())),
    ],
    ids=["copyright", "html", "rst", "truncated", "words changed"],
)
@pytest.mark.parametrize("name", ["JSON", "Beerware", "AFL-3.0", "NCSA", "EUPL-1.1", "CDDL-1.0", "W3C"])
def test_changed_texts_are_still_similar(change, name):
    ((_, text),) = texts_of(name)
    expression, rule, score = detect(change(text).encode(), params=PARAMS)
    assert expression is not None
    assert name in expression or (name == "JSON" and expression == "MIT")  # MIT and a sentence about good and evil
    assert rule in ("hash", "similar", "text")
    assert 0.9 <= score <= 1.0


def test_a_utf_16_licence_and_one_with_nul_are_read():
    text = (Path(__file__).parents[2] / "LICENSE").read_text()
    assert detect(text.encode("utf-16"), params=PARAMS)[0] == "Apache-2.0"
    assert detect(b"\0\0", params=PARAMS) == (None, None, None)


@pytest.mark.parametrize(
    "text",
    ["SPDX-License-Identifier: " + "(" * 10**6, "SPDX-License-Identifier: " + "MIT AND " * 10**5, "<" * 10**6,
     "Metadata-Version: 2.1\nLicense-Expression: " + "(" * 10**5 + "MIT", "[project]\nlicense = " + "[" * 10**5,
     "copyright " * 10**5, "&" * 10**6, "[metadata]\n" + "a = 1\n " * 10**5, "\n" * 10**6, " " * 10**6 + "copyright",
     "[project]\n" + "a." * 10**5, "[metadata]\n" + "===\n" * 10**5],
    ids=range(12),
)  # fmt: skip
def test_hostile_licence_files_take_little_time(text):
    started = time.process_time()
    detect(text.encode(), params=PARAMS)
    assert time.process_time() - started < 5
