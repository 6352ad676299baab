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

from minicode_assets.corpus.annotate.license_names import EXACT, FAMILY, Declared, license_of_name
from minicode_assets.corpus.annotate.license_texts import normalise, recognise
from minicode_assets.corpus.annotate.spdx import UNRECOGNISED, canonical, conjunction

_MAX_NAME_WORDS = 12
_MAX_CHARACTERS, _MAX_LINE_CHARACTERS = 200_000, 10_000
"""A longer pyproject.toml or setup.cfg is none: Python's readers take the square of the time for some."""
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
_SECTION = re.compile(r"^\[(?:project|build-system|metadata|tool\.poetry)\][ \t]*$", re.MULTILINE)
_SETUP_CALL = re.compile(r"^[ \t]*(?:\w+\.)*setup[ \t]*\(", re.MULTILINE)
_SETUP_IMPORT = re.compile(
    r"^[ \t]*(?:from|import)[ \t]+(?:setuptools|distutils|skbuild|numpy\.distutils)\b", re.MULTILINE
)
_SETUP_LICENSE = re.compile(r"""\blicen[sc]e["']?[ \t]*[=:][ \t]*u?(["'])([^"'\n]{1,200})\1""")
_SETUP_CLASSIFIER = re.compile(r"""["'](License :: [^"'\n]{1,200})["']""")


@dataclass(frozen=True)
class Fields:
    """What metadata says about its licence, as written: SPDX expression, licence name or text, classifiers."""

    expression: str = ""
    name: str = ""
    classifiers: list[str] = field(default_factory=list)


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
        return Declared(expression, "expression", EXACT)
    if written.lower().startswith("licenseref-"):
        return Declared(UNRECOGNISED, "expression", EXACT)
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
        module = ast.parse(text)
        calls = [node for node in ast.walk(module) if isinstance(node, ast.Call)]
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # Python 2, mostly
        found = _SETUP_LICENSE.search(text)
        return Fields("", found[2] if found else "", classifiers)
    names = {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    given = {}
    for keyword in (keyword for call in calls for keyword in call.keywords):
        value = names.get(keyword.value.id) if isinstance(keyword.value, ast.Name) else keyword.value
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            given[keyword.arg] = value.value
    return Fields(given.get("license_expression", ""), given.get("license", ""), classifiers)


def _table(mapping: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = mapping.get(key)
    return value if isinstance(value, Mapping) else {}


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _from_name(value: str, min_score_fraction: float) -> Declared | None:
    matches = recognise(value, min_score_fraction=min_score_fraction) if len(normalise(value)) > _MAX_NAME_WORDS else []
    if matches:
        return Declared(conjunction([m.spdx for m in matches]), "metadata", min(m.score for m in matches))
    return license_of_name(value)


def _from_classifiers(classifiers: list[str]) -> Declared | None:
    last_parts = [text.split(" :: ")[-1].strip() for text in classifiers if text.startswith("License :: ")]
    expressions = {_CLASSIFIERS[part] for part in last_parts if part in _CLASSIFIERS}
    return Declared(conjunction(expressions), "metadata", FAMILY) if expressions else None
