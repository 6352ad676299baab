"""Names by which people call licences: those that are known as they stand, and words that tell a restrictive one."""

import re
from dataclasses import dataclass

from minicode_assets.corpus.annotate.license_texts import normalise
from minicode_assets.corpus.annotate.spdx import PROPRIETARY, canonical, conjunction, is_permissive

EXACT, FAMILY = 1.0, 0.8
"""Scores of a licence that is told by its own name, and by that of its relatives."""
_NAMES = {
    "MIT": ("mit", "the mit", "expat", "mit x11", "mit expat", "mit style"),
    "Apache-2.0": ("apache 2 0", "apache 2", "apache version 2 0", "apache software 2 0", "apache2", "asl 2 0"),
    "BSD-2-Clause": ("bsd 2 clause", "2 clause bsd", "simplified bsd", "bsd 2"),
    "BSD-3-Clause": ("bsd 3 clause", "3 clause bsd", "new bsd", "modified bsd", "bsd 3", "revised bsd"),
    "ISC": ("isc", "iscl"),
    "PSF-2.0": ("psf", "python software foundation", "psf 2", "psfl"),
    "MPL-2.0": ("mpl 2 0", "mozilla public 2 0", "mpl v2 0", "mpl2"),
    "Unlicense": ("unlicense", "the unlicense"),
    "Zlib": ("zlib",),
    "ZPL-2.1": ("zpl 2 1", "zope public 2 1", "zpl", "zope public"),
    "BSL-1.0": ("boost", "boost software", "boost software 1 0"),
    "CC0-1.0": ("cc0", "cc0 1 0", "cc0 1 0 universal"),
    "LicenseRef-scancode-public-domain": ("public domain",),
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
_BY_NAME = {
    **{name: (spdx, FAMILY) for spdx, names in _FAMILY_NAMES.items() for name in names},
    **{name: (spdx, EXACT) for spdx, names in _NAMES.items() for name in names},
}
_FILLER = re.compile(r"\b(?:the|license|licensed|licenses|under|of|terms|osi|approved|v(?=\d))\b|\bsee\b.*")
_RESTRICTIVE = (
    ("AGPL-3.0-or-later", r"agpl\w*|affero (?:gnu )?(?:general public|gpl)"),
    ("LGPL-2.0-or-later", r"lgpl\w*|(?:lesser|library) (?:general public|gpl)"),
    ("GPL-1.0-or-later", r"gpl\w*|general public license|gnu public license"),
    ("MPL-1.1", r"mpl\w*|mozilla public"),
    ("EPL-1.0", r"epl(?: v?\d.*)?|eclipse public"),
    ("CDDL-1.0", r"cddl|common development and distribution"),
    ("EUPL-1.1", r"eupl\w*|european union public"),
    ("OSL-3.0", r"open software license"),
    ("CECILL-2.1", r"cecill(?! b\b)"),
    ("Artistic-1.0", r"artistic"),
    ("GFDL-1.1-or-later", r"gfdl|free documentation license"),
    ("SSPL-1.0", r"sspl|server side public"),
    ("BUSL-1.1", r"busl|bsl 1 1|business source"),
    ("Elastic-2.0", r"elastic license"),
    ("ODbL-1.0", r"odbl|open database license"),
    ("MS-RL", r"ms rl|microsoft (?:reciprocal|reference source|limited)\w*"),
    ("LicenseRef-scancode-commons-clause", r"commons? clause"),
    ("CC-BY-NC-4.0", r"(?:by|commons|attribution|cc0?) (?:\w+ ){0,2}?(?:nc|non ?commercial)"),
    ("CC-BY-ND-4.0", r"(?:by|commons|attribution|nc|commercial) (?:\w+ ){0,2}?(?:nd|no ?deriv\w*)"),
    ("CC-BY-SA-4.0", r"(?:by|commons|attribution|nc|commercial) (?:\w+ ){0,2}?(?:sa|share ?alike)"),
    (
        PROPRIETARY,
        r"proprietary|confidential|commercial|non ?commercial\w*|freeware|shareware|copyleft|all rights reserved|eula"
        r"|end user license|internal use|closed source|polyform|fair ?play"
        r"|(?:academic|research|educational|evaluation|personal)(?: use| purposes?| only)",
    ),
)
"""SPDX expression, and words that name such a licence or a relative, which asks for as much or more."""
_FAMILIES = re.compile(
    r"(?<!non )(?<!not )(?<!compatible with )(?<!with the )\b(?:"
    + "|".join(f"({pattern})" for _, pattern in _RESTRICTIVE)
    + r")\b(?! compatible)"
)
_CHOICE = re.compile(r"\bor\b(?! (?:\(at your option\) )?(?:any |later|newer|greater|above|higher))|/|\||\bdual\b")


@dataclass(frozen=True)
class Declared:
    """A declared licence: SPDX expression, the field that told it, and how exactly it was told, 0..1."""

    expression: str
    rule: str
    score: float


def named_license(words: str) -> Declared | None:
    """The licence of an everyday name, such as `the mit license`, in words as `normalise` gives them."""
    distinct = dict.fromkeys(_FILLER.sub(" ", words).split())
    found = _BY_NAME.get(" ".join(_FILLER.sub(" ", words).split())) or _BY_NAME.get(" ".join(distinct))
    return Declared(found[0], "metadata", found[1]) if found else None


def restrictive_in(words: str) -> list[str]:
    """The restrictive licences that words name anywhere, in words as `normalise` gives them; sorted, distinct."""
    return sorted({_RESTRICTIVE[(found.lastindex or 1) - 1][0] for found in _FAMILIES.finditer(words)})


def license_of_name(value: str) -> Declared | None:
    """What the value of a field such as `License` names: a licence, or one of several to choose from.

    A value that names a restrictive licence among words that are not understood is restrictive:
    `GNU LGPL v2.1 with changes`. One that names a permissive licence so (`MIT, with changes`) is nothing.
    """
    if expression := canonical(value.strip()) if value.strip() else None:
        return Declared(expression, "metadata", EXACT)
    words = " ".join(normalise(value))
    if found := named_license(words):
        return found
    restrictive = restrictive_in(words)
    if not restrictive:
        return None
    sides = [named_license(" ".join(normalise(side))) for side in _CHOICE.split(value.lower())]
    choices = {side.expression for side in sides if side and is_permissive(side.expression)}
    return Declared(" OR ".join([*sorted(choices), conjunction(restrictive)]), "metadata", FAMILY)
