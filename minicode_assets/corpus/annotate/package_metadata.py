"""The licence that package metadata declares: METADATA, PKG-INFO, pyproject.toml, setup.cfg, setup.py.

Source: core metadata specification, PEP 621, PEP 639, Poetry's and setuptools' documentation.
"""

import ast
import configparser
import email.parser
import email.policy
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from minicode_assets.corpus.annotate.license_texts import normalise, recognise
from minicode_assets.corpus.annotate.spdx import UNRECOGNISED, canonical, conjunction

_EXACT, _FAMILY = 1.0, 0.8
_MAX_NAME_WORDS = 12
_MAX_CHARACTERS, _MAX_LINE_CHARACTERS = 200_000, 10_000
"""A longer pyproject.toml or setup.cfg is none: Python's readers take the square of the time for some."""
_NAMES = {
    "MIT": ("mit", "the mit", "expat", "mit x11"),
    "Apache-2.0": ("apache 2 0", "apache 2", "apache version 2 0", "apache software 2 0", "apache2", "asl 2 0"),
    "BSD-2-Clause": ("bsd 2 clause", "2 clause bsd", "simplified bsd", "bsd 2"),
    "BSD-3-Clause": ("bsd 3 clause", "3 clause bsd", "new bsd", "modified bsd", "bsd 3", "revised bsd"),
    "ISC": ("isc", "iscl"),
    "PSF-2.0": ("psf", "python software foundation", "psf 2", "psfl"),
    "MPL-2.0": ("mpl 2 0", "mozilla public 2 0", "mpl v2 0", "mpl2"),
    "Unlicense": ("unlicense", "the unlicense"),
    "Zlib": ("zlib",),
    "ZPL-2.1": ("zpl 2 1", "zope public 2 1"),
    "LGPL-2.0-or-later": (
        *("lgpl", "lgpl with exceptions", "gnu lgpl"),
        *("gnu lesser general public", "lesser general public", "gnu library general public", "gnu lesser gpl"),
    ),
    "LGPL-3.0-or-later": ("lgplv3", "lgpl v3", "lgplv3+", "lgpl 3"),
    "GPL-1.0-or-later": ("gpl", "gnu gpl", "gnu general public", "general public"),
    "GPL-2.0-or-later": ("gplv2", "gpl v2", "gpl 2"),
    "GPL-3.0-or-later": ("gplv3", "gpl v3", "gpl 3"),
    "AGPL-3.0-or-later": (
        *("agpl", "agplv3", "agpl v3", "agpl 3"),
        *("gnu affero general public", "affero general public", "affero gpl", "gnu agpl"),
    ),
    "LicenseRef-scancode-proprietary-license": (
        "proprietary",
        "commercial",
        "all rights reserved",
        "other proprietary",
    ),
}
_FAMILY_NAMES = {"BSD-3-Clause": ("bsd", "bsd style", "bsd like"), "Apache-2.0": ("apache", "apache software", "asf")}
_CLASSIFIERS = {
    "Academic Free License (AFL)": "AFL-3.0",
    "Apache Software License": "Apache-2.0",
    "Artistic License": "Artistic-1.0",
    "BSD License": "BSD-3-Clause",
    "Boost Software License 1.0 (BSL-1.0)": "BSL-1.0",
    "CC0 1.0 Universal (CC0 1.0) Public Domain Dedication": "CC0-1.0",
    "Eclipse Public License 1.0 (EPL-1.0)": "EPL-1.0",
    "Eclipse Public License 2.0 (EPL-2.0)": "EPL-2.0",
    "European Union Public Licence 1.2 (EUPL 1.2)": "EUPL-1.2",
    "GNU Affero General Public License v3": "AGPL-3.0-only",
    "GNU Affero General Public License v3 or later (AGPLv3+)": "AGPL-3.0-or-later",
    "GNU General Public License (GPL)": "GPL-1.0-or-later",
    "GNU General Public License v2 (GPLv2)": "GPL-2.0-only",
    "GNU General Public License v2 or later (GPLv2+)": "GPL-2.0-or-later",
    "GNU General Public License v3 (GPLv3)": "GPL-3.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GNU Lesser General Public License v2 (LGPLv2)": "LGPL-2.0-only",
    "GNU Lesser General Public License v2 or later (LGPLv2+)": "LGPL-2.0-or-later",
    "GNU Lesser General Public License v3 (LGPLv3)": "LGPL-3.0-only",
    "GNU Lesser General Public License v3 or later (LGPLv3+)": "LGPL-3.0-or-later",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL-2.0-or-later",
    "Historical Permission Notice and Disclaimer (HPND)": "HPND",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "Mozilla Public License 1.1 (MPL 1.1)": "MPL-1.1",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
    "The Unlicense (Unlicense)": "Unlicense",
    "Universal Permissive License (UPL)": "UPL-1.0",
    "University of Illinois/NCSA Open Source License": "NCSA",
    "Zope Public License": "ZPL-2.1",
    "zlib/libpng License": "Zlib",
    "Public Domain": "LicenseRef-scancode-public-domain",
    "Other/Proprietary License": "LicenseRef-scancode-proprietary-license",
}
"""Trove classifiers, by their last part. Source: the list of trove classifiers."""
_BY_NAME = {
    **{name: (spdx, _FAMILY) for spdx, names in _FAMILY_NAMES.items() for name in names},
    **{name: (spdx, _EXACT) for spdx, names in _NAMES.items() for name in names},
}
_SECTION = re.compile(r"^\[(?:project|build-system|metadata|tool\.poetry)\][ \t]*$", re.MULTILINE)
_SETUP_CALL = re.compile(r"^[ \t]*(?:\w+\.)*setup[ \t]*\(", re.MULTILINE)
_SETUP_IMPORT = re.compile(
    r"^[ \t]*(?:from|import)[ \t]+(?:setuptools|distutils|skbuild|numpy\.distutils)\b", re.MULTILINE
)
_SETUP_LICENSE = re.compile(r"""\blicen[sc]e["']?[ \t]*[=:][ \t]*u?(["'])([^"'\n]{1,200})\1""")
_SETUP_CLASSIFIER = re.compile(r"""["'](License :: [^"'\n]{1,200})["']""")
_FILLER = re.compile(r"\b(?:the|license|licensed|licenses|under|of|terms|v(?=\d))\b")


@dataclass(frozen=True)
class Fields:
    """What metadata says about its licence, as written: SPDX expression, licence name or text, classifiers."""

    expression: str = ""
    name: str = ""
    classifiers: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Declared:
    """A declared licence: SPDX expression, the field that told it, and how exactly it was told, 0..1."""

    expression: str
    rule: str
    score: float


def is_package_metadata(text: str) -> bool:
    """Whether a text is package metadata, by what it holds."""
    return text.startswith("Metadata-Version:") or _SECTION.search(text) is not None or is_setup_script(text)


def is_setup_script(text: str) -> bool:
    """Whether a text is a setup.py: it imports setuptools or distutils and calls setup."""
    return _SETUP_IMPORT.search(text) is not None and _SETUP_CALL.search(text) is not None


def declared_license(text: str, *, min_score_fraction: float) -> Declared | None:
    """The licence that package metadata declares: a licence expression, else a licence name, else the classifiers.

    Args:
        text: A text for which `is_package_metadata` holds.
        min_score_fraction: For a field that holds a licence text; see `recognise`.
    """
    if text.startswith("Metadata-Version:"):
        fields = _read_core(text)
    elif is_setup_script(text):
        fields = _read_setup_script(text)
    elif len(text) > _MAX_CHARACTERS or max(map(len, text.split("\n"))) > _MAX_LINE_CHARACTERS:
        return None
    else:
        fields = _read_pyproject(text) or _read_setup_cfg(text) or Fields()
    written = fields.expression.strip()
    if expression := canonical(written) if written else None:
        return Declared(expression, "expression", _EXACT)
    if written.lower().startswith("licenseref-"):
        return Declared(UNRECOGNISED, "expression", _EXACT)
    return _from_name(written or fields.name, min_score_fraction) or _from_classifiers(fields.classifiers)


def _read_core(text: str) -> Fields:
    fields = email.parser.HeaderParser(policy=email.policy.compat32).parsestr(text)
    return Fields(
        str(fields.get("License-Expression", "")),
        str(fields.get("License", "")),
        [str(value) for value in fields.get_all("Classifier", [])],
    )


def _read_pyproject(text: str) -> Fields | None:
    """The fields of pyproject.toml; null when the text is not TOML."""
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError):
        return None
    project, poetry = _table(document, "project"), _table(_table(document, "tool"), "poetry")
    license_field = project.get("license", "")
    text_field = _table(project, "license").get("text") or poetry.get("license") or ""
    classifiers = [*_texts(project.get("classifiers")), *_texts(poetry.get("classifiers"))]
    return Fields(license_field if isinstance(license_field, str) else "", str(text_field), classifiers)


def _read_setup_cfg(text: str) -> Fields | None:
    """The fields of setup.cfg; null when the text is not an INI file."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    if not parser.has_section("metadata"):
        return None
    section = parser["metadata"]
    classifiers = [line.strip() for line in section.get("classifiers", section.get("classifier", "")).splitlines()]
    return Fields(section.get("license_expression", ""), section.get("license", ""), classifiers)


def _read_setup_script(text: str) -> Fields:
    """The literals that a setup.py gives as licence and classifiers; it is read and never run."""
    classifiers = _SETUP_CLASSIFIER.findall(text)
    try:
        calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Python 2, mostly
        found = _SETUP_LICENSE.search(text)
        return Fields("", found[2] if found else "", classifiers)
    given = {
        keyword.arg: keyword.value.value
        for call in calls
        for keyword in call.keywords
        if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    }
    return Fields(given.get("license_expression", ""), given.get("license", ""), classifiers)


def _table(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _from_name(value: str, min_score_fraction: float) -> Declared | None:
    expression = canonical(value.strip()) if value.strip() else None
    if expression:
        return Declared(expression, "metadata", _EXACT)
    words = normalise(value)
    if len(words) > _MAX_NAME_WORDS:
        matches = recognise(value, min_score_fraction=min_score_fraction)
        if not matches:
            return None
        return Declared(conjunction([m.spdx for m in matches]), "metadata", min(m.score for m in matches))
    return named_license(" ".join(words))


def named_license(words: str) -> Declared | None:
    """The licence of an everyday name, such as `the mit license`, in words as `normalise` gives them."""
    found = _BY_NAME.get(" ".join(_FILLER.sub(" ", words).split()))
    return Declared(found[0], "metadata", found[1]) if found else None


def _from_classifiers(classifiers: list[str]) -> Declared | None:
    last_parts = [text.split(" :: ")[-1].strip() for text in classifiers if text.startswith("License :: ")]
    expressions = {_CLASSIFIERS[part] for part in last_parts if part in _CLASSIFIERS}
    return Declared(conjunction(expressions), "metadata", _FAMILY) if expressions else None
