"""Fingerprints of licence texts: phrases that every copy of a licence carries and other licences do not.

A fingerprint has `titles`, which must stand in the text word for word, and `clauses`, of which nearly all word pairs
must occur, so that a changed name or a missing comma does no harm. The phrases are the operative words of the licences
themselves, normalised (lower case, words only, "license" for "licence").
"""

import functools
import html
import itertools
import re
from dataclasses import dataclass

_WORD = re.compile(r"[a-z0-9]+")
_MARKUP = re.compile(r"<[^<>]{0,200}>")


@dataclass(frozen=True)
class Fingerprint:
    """How one licence is recognised.

    Attributes:
        spdx: The SPDX expression that a match means.
        titles: Phrases, one of which must occur as it is; none asked for when empty.
        clauses: Phrases, each of which must occur by (nearly) all its word pairs.
        absorbs: Expressions whose words are part of this licence, so that a match of theirs says nothing more.
    """

    spdx: str
    titles: tuple[str, ...] = ()
    clauses: tuple[str, ...] = ()
    absorbs: tuple[str, ...] = ()

    def score(self, flat: str, pairs: set[tuple[str, str]]) -> float:
        """Share of word pairs that occur in the text, of the clause with the least; 0 without a title.

        Args:
            flat: The normalised text, words separated and surrounded by single spaces.
            pairs: Its word pairs.
        """
        if self.titles and not any(f" {title} " in flat for title in self.titles):
            return 0.0
        return min((len(wanted & pairs) / len(wanted) for wanted in _clause_pairs(self)), default=1.0)


@dataclass(frozen=True)
class Match:
    """A licence found in a text, with the least share of a clause's word pairs that occur, 0..1."""

    spdx: str
    score: float


def normalise(text: str) -> list[str]:
    """The words of a licence text: lower case, no mark-up (HTML, reST, Markdown), no punctuation, American spelling."""
    words = _WORD.findall(html.unescape(_MARKUP.sub(" ", text.lower())))
    return ["license" + word[7:] if word.startswith("licence") else word for word in words]


def word_pairs(words: list[str]) -> set[tuple[str, str]]:
    """Adjacent pairs of words."""
    return set(itertools.pairwise(words))


def recognise(text: str, *, min_score_fraction: float) -> list[Match]:
    """Every licence whose words are in the text, sorted by expression; a text can carry several.

    Args:
        text: A licence file.
        min_score_fraction: Least share of a clause's word pairs that must occur, 0..1.
    """
    words = normalise(text)
    pairs, flat = word_pairs(words), f" {' '.join(words)} "
    best: dict[str, float] = {}
    absorbed: set[str] = set()
    for fingerprint in FINGERPRINTS:
        score = fingerprint.score(flat, pairs)
        if score > 0 and score >= min_score_fraction:
            best[fingerprint.spdx] = max(score, best.get(fingerprint.spdx, 0.0))
            absorbed.update(fingerprint.absorbs)
    return [Match(spdx, best[spdx]) for spdx in sorted(best) if spdx not in absorbed]


@functools.cache
def _clause_pairs(fingerprint: Fingerprint) -> tuple[set[tuple[str, str]], ...]:
    return tuple(word_pairs(clause.split()) for clause in fingerprint.clauses)


_MIT_GRANT = (
    "permission is hereby granted free of charge to any person obtaining a copy of this software and associated "
    "documentation files the software to deal in the software without restriction including without limitation the "
    "rights to use copy modify merge publish distribute sublicense and or sell copies of the software"
)
_MIT_NOTICE = (
    "the above copyright notice and this permission notice shall be included in all copies or substantial portions of "
    "the software"
)
_BSD_1 = (
    "redistribution and use in source and binary forms with or without modification are permitted provided that the "
    "following conditions are met",
    "must retain the above copyright notice this list of conditions and the following disclaimer",
)
_BSD_2 = (
    *_BSD_1,
    "in binary form must reproduce the above copyright notice this list of conditions and the following disclaimer in "
    "the documentation and or other materials provided with the distribution",
)
_BSD_3 = (*_BSD_2, "endorse or promote products derived from this software without specific prior written permission")
_ISC_GRANT = "permission to use copy modify and distribute this software for any purpose with or without fee is hereby"
_HPND_GRANT = (
    "permission to use copy modify and distribute this software and its documentation for any purpose and without fee "
    "is hereby granted"
)
_PSF_GRANT = (
    "psf hereby grants licensee a nonexclusive royalty free world wide license to reproduce analyze test perform "
    "and or display publicly prepare derivative works distribute and otherwise use"
)
_GPL_NOTICE = "gnu general public license as published by the free software foundation"
_LGPL_NOTICE = "gnu lesser general public license as published by the free software foundation"
_AGPL_NOTICE = "gnu affero general public license as published by the free software foundation"
_ANY_GPL, _ANY_LGPL, _ANY_AGPL = "GPL-1.0-or-later", "LGPL-2.0-or-later", "AGPL-3.0-or-later"
_PROPRIETARY = "LicenseRef-scancode-proprietary-license"

FINGERPRINTS = (
    Fingerprint("MIT-0", clauses=(_MIT_GRANT,)),
    Fingerprint("MIT", clauses=(_MIT_GRANT, _MIT_NOTICE), absorbs=("MIT-0",)),
    Fingerprint(
        "X11",
        clauses=(_MIT_GRANT, _MIT_NOTICE, "except as contained in this notice the name"),
        absorbs=("MIT-0", "MIT"),
    ),
    Fingerprint("BSD-1-Clause", clauses=_BSD_1),
    Fingerprint("BSD-2-Clause", clauses=_BSD_2, absorbs=("BSD-1-Clause",)),
    Fingerprint("BSD-3-Clause", clauses=_BSD_3, absorbs=("BSD-1-Clause", "BSD-2-Clause")),
    Fingerprint(
        "BSD-4-Clause",
        clauses=(
            *_BSD_3,
            "all advertising materials mentioning features or use of this software must display the following",
        ),
        absorbs=("BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause"),
    ),
    Fingerprint("0BSD", clauses=(_ISC_GRANT,)),
    Fingerprint(
        "ISC",
        clauses=(_ISC_GRANT, "the above copyright notice and this permission notice appear in all copies"),
        absorbs=("0BSD",),
    ),
    Fingerprint(
        "HPND",
        clauses=(_HPND_GRANT, "copyright notice and this permission notice appear in supporting documentation"),
    ),
    Fingerprint(
        "PostgreSQL",
        titles=("without a written agreement",),
        clauses=(
            "permission to use copy modify and distribute this software and its documentation for any purpose without "
            "fee and without a written agreement is hereby granted",
        ),
        absorbs=("0BSD",),
    ),
    Fingerprint(
        "Apache-2.0",
        titles=("apache license version 2 0 january 2004",),
        clauses=(
            "terms and conditions for use reproduction and distribution",
            "each contributor hereby grants to you a perpetual worldwide non exclusive no charge royalty free "
            "irrevocable copyright license to reproduce prepare derivative works of publicly display publicly perform "
            "sublicense and distribute the work and such derivative works in source or object form",
        ),
    ),
    Fingerprint(
        "Apache-2.0",
        titles=("licensed under the apache license version 2 0", "license under the apache license version 2 0"),
        clauses=("you may not use this file except in compliance with the license",),
    ),
    Fingerprint(
        "Apache-2.0 WITH LLVM-exception", titles=("llvm exceptions to the apache 2 0 license",), absorbs=("Apache-2.0",)
    ),
    Fingerprint(
        "Apache-1.1",
        titles=("the apache software license version 1 1",),
        clauses=("may not be called", "without prior written permission of the"),
        absorbs=("BSD-1-Clause", "BSD-2-Clause", "BSD-3-Clause", "BSD-4-Clause"),
    ),
    Fingerprint("PSF-2.0", titles=("psf hereby grants licensee",), clauses=(_PSF_GRANT,)),
    Fingerprint(
        "Python-2.0",
        titles=("beopen python open source license agreement version 1",),
        clauses=(_PSF_GRANT, "cnri hereby grants licensee a nonexclusive royalty free world wide license"),
        absorbs=("PSF-2.0", "HPND", "CNRI-Python"),
    ),
    Fingerprint(
        "CNRI-Python",
        titles=("cnri hereby grants licensee",),
        clauses=("cnri hereby grants licensee a nonexclusive royalty free world wide license to reproduce analyze",),
    ),
    Fingerprint(
        "Zlib",
        clauses=(
            "in no event will the authors be held liable for any damages arising from the use of this software",
            "permission is granted to anyone to use this software for any purpose including commercial applications "
            "and to alter it and redistribute it freely subject to the following restrictions",
            "the origin of this software must not be misrepresented",
        ),
    ),
    Fingerprint(
        "Unlicense",
        clauses=(
            "this is free and unencumbered software released into the public domain",
            "anyone is free to copy modify publish use compile sell or distribute this software",
        ),
    ),
    Fingerprint("CC0-1.0", titles=("cc0 1 0 universal", "cc0 1 0 universal public domain dedication")),
    Fingerprint(
        "BSL-1.0",
        clauses=(
            "permission is hereby granted free of charge to any person or organization obtaining a copy of the "
            "software and accompanying documentation covered by this license the software to use reproduce display "
            "distribute execute and transmit the software",
        ),
    ),
    Fingerprint("WTFPL", titles=("do what the fuck you want to public license",)),
    Fingerprint("NCSA", titles=("university of illinois ncsa open source license",)),
    Fingerprint("UPL-1.0", titles=("the universal permissive license upl version 1 0",)),
    Fingerprint("ZPL-2.1", titles=("zope public license zpl version 2 1",), absorbs=("BSD-1-Clause",)),
    Fingerprint("BlueOak-1.0.0", titles=("blue oak model license version 1 0 0",)),
    Fingerprint("CC-BY-4.0", titles=("creative commons attribution 4 0 international public license",)),
    Fingerprint("CC-BY-3.0", titles=("creative commons attribution 3 0 unported",)),
    Fingerprint("CC-BY-SA-4.0", titles=("creative commons attribution sharealike 4 0 international public license",)),
    Fingerprint(
        "CC-BY-NC-4.0", titles=("creative commons attribution noncommercial 4 0 international public license",)
    ),
    Fingerprint("OFL-1.1", titles=("sil open font license version 1 1",)),
    Fingerprint("Artistic-2.0", titles=("the artistic license 2 0",)),
    Fingerprint("MPL-1.1", titles=("mozilla public license version 1 1",)),
    Fingerprint(
        "MPL-2.0",
        titles=(
            "mozilla public license version 2 0",
            "subject to the terms of the mozilla public license v 2 0",
            "mozilla public license v 2 0",
        ),
    ),
    Fingerprint("EPL-1.0", titles=("eclipse public license v 1 0",)),
    Fingerprint("EPL-2.0", titles=("eclipse public license v 2 0",)),
    Fingerprint("EUPL-1.2", titles=("european union public license v 1 2",)),
    Fingerprint(_ANY_GPL, titles=(_GPL_NOTICE,)),
    Fingerprint("GPL-2.0-only", titles=("gnu general public license version 2 june 1991",), absorbs=(_ANY_GPL,)),
    Fingerprint("GPL-3.0-only", titles=("gnu general public license version 3 29 june 2007",), absorbs=(_ANY_GPL,)),
    Fingerprint(_ANY_LGPL, titles=(_LGPL_NOTICE,)),
    Fingerprint("LGPL-2.0-only", titles=("gnu library general public license version 2 june 1991",)),
    Fingerprint(
        "LGPL-2.1-only",
        titles=("gnu lesser general public license version 2 1 february 1999",),
        absorbs=(_ANY_LGPL, _ANY_GPL),
    ),
    Fingerprint(
        "LGPL-3.0-only", titles=("gnu lesser general public license version 3 29 june 2007",), absorbs=(_ANY_LGPL,)
    ),
    Fingerprint(_ANY_AGPL, titles=(_AGPL_NOTICE,)),
    Fingerprint(
        "AGPL-3.0-only",
        titles=("gnu affero general public license version 3 19 november 2007",),
        absorbs=(_ANY_AGPL, _ANY_GPL),
    ),
    Fingerprint("Hippocratic-2.1", titles=("hippocratic license",), absorbs=("MIT-0", "MIT")),
    Fingerprint("SSPL-1.0", titles=("server side public license version 1",)),
    Fingerprint("BUSL-1.1", titles=("business source license 1 1",)),
    Fingerprint("Elastic-2.0", titles=("elastic license 2 0",)),
    Fingerprint("LicenseRef-scancode-commons-clause", titles=("commons clause license condition v1 0",)),
    Fingerprint("PolyForm-Noncommercial-1.0.0", titles=("polyform noncommercial license 1 0 0",)),
    Fingerprint(
        _PROPRIETARY,
        titles=(
            "proprietary and confidential",
            "confidential and proprietary",
            "non commercial use only",
            "noncommercial use only",
            "non commercial purposes only",
            "noncommercial purposes only",
            "may not be used for commercial purposes",
            "end user license agreement",
        ),
    ),
)
"""Some fifty licences: nearly all that Python packages carry."""
