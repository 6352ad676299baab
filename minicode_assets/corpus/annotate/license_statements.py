"""Sentences that state a licence: `Released under the MIT license`, in READMEs and in licence files without a text.

What a sentence forbids counts wherever it stands; what it allows only where it speaks of the whole project.
"""

import itertools
import re
from collections.abc import Iterator

from minicode_assets.corpus.annotate.license_names import license_of_name, named_license, restrictive_in
from minicode_assets.corpus.annotate.license_texts import normalise
from minicode_assets.corpus.annotate.spdx import PROPRIETARY, conjunction, is_permissive

SCORE = 0.8
"""Of a licence that is named and not given, 0..1: as a name in package metadata that is no identifier."""
_SENTENCE_END = re.compile(r"[.!?;](?=\s)|\n\s*\n|\n(?=[ \t]*[-*] )|^#+[^\n]*$|^[=~^\"'*-]{3,}[ \t]*$", re.MULTILINE)
_HEADING = re.compile(
    r"^(?:#+[ \t]*licen[sc](?:e|es|ing)[ \t:#]*|licen[sc](?:e|es|ing)[ \t:]*\n[=~^\"'*-]{3,}[ \t]*)$",
    re.I | re.MULTILINE,
)
_VERB = re.compile(
    r"\b(?:(?:re|dual |double |triple )?(?:licensed|released|distributed|published|provided|offered|available|covered"
    r"|(?:redistribute|modify) (?:it|them)|governed|is|are|falls?|come|comes)) "
    r"(?:(?:and|or|freely|distributed|licensed|available) ){0,3}"
    r"(?:(?:only|solely) )?(?:under|by|with)(?: the)?(?: (?:same )?terms(?: and conditions)? of)?(?: either)?(?: the)? "
)
_DENIED = re.compile(r"\b(?:not|never|no longer|isn t|aren t|nor|cannot|without being|instead of)(?: \w+){0,3}$")
_OTHERS = re.compile(r"\b(?:compatible|combine|other software|unlike|example|was|were|formerly|previously|whether)\b")
_PROJECT = frozenset(
    normalise(
        "this the it its our all of in is are and dual itself project package library software module program repo "
        "tool repository framework app application work source code file files distribution everything documentation "
        "free contents open license copyright"
    )
)
"""Words that speak of the whole; beside them stands at most the project's name."""
_FORBIDS = re.compile(
    r"\b(?:(?:not|never|cannot)(?: be)? used? (?:\w+ ){0,3}?for (?:any )?commercial"
    r"|may only be used for|only for (?:non ?commercial|academic|research|educational|personal)"
    r"|(?:academic|research|educational|personal|evaluation) (?:use|purposes?) only"
    r"|non ?commercial (?:use|purposes?) only"
    r"|not (?:be used|permitted to use|use) (?:\w+ ){0,6}?"
    r"(?:train(?:ing)?\b|machine learning|artificial|military|weapons?\b)"
    r"|no part of this (?:software|code|work) may be"
    r"|unauthori[sz]ed (?:\w+ ){1,12}?(?:prohibited|forbidden)"
    r"|proprietary (?:and confidential|information|code|source)|confidential and proprietary)\b"
)
_LABEL = re.compile(
    r"^[ \t:@.|>+*-]*(?:licen[cs]e|licensing|lizenz|licencia|licença|licenza|лицензия|许可证|ライセンス)"
    r"[ \t]*(?:[:\uff1a=]+|(?<=@license)|(?<=@licence))[ \t]*([^\n]{1,200})",
    re.IGNORECASE | re.MULTILINE,
)
"""`License: GPL v3`, `:license: GPL`, `@license GPL`, and the same word in a few languages."""
_ASSIGNED = re.compile(r"^__licen[cs]e__[ \t]*=[ \t(]*[uUrR]?([\"'])([^\n\"']{1,200})", re.MULTILINE)
_FULL_NAME = re.compile(
    r"\bgnu (?:lesser |library |affero )?(?:(?:general )?public license|gpl\w*)|\bgnu [al]gpl\w*"
    r"|\bunder (?:the )?[al]?gpl\w*"
)
"""The words of the notice that stay English whatever language is around them."""
_NO_NOTICE = re.compile(
    r"\b(?:no|not|none|without|isn t|aren t|nor|compatible|incompatible|unlike|instead|example|choose|choice|either"
    r"|dual\w*|alternatively|formerly)\b"
)
_IMPORT = re.compile(r"^(?:import[ \t]+[\w.]+|from[ \t]+[\w.]+[ \t]+import\b)")
_CODE = re.compile(
    r"^(?:(?:def|class|async|if|try|with|for|while)\b.*:[ \t]*(?:#.*)?$|@\w[\w.]*(?:\(|[ \t]*$)|\w[\w.]*(?:\(|[ \t]*=))"
)
_COMMENT_SIGNS = re.compile(r"^[ \t]*(?:[#*;/|]+[ \t]*)+|[ \t]*[#*|]+[ \t]*$")
_MAX_NAME_WORDS = 7
_MAX_SECTION_WORDS = 12
_MAX_CHARACTERS = 200_000
_MAX_POINTER_WORDS = 30
_POINTER = re.compile(r"\b(?:see|refer to|is in|found in)\b.*\b(?:license\w*|copying\w*|readme|copyright|notice)\b")
_SUBJECT_CHARACTERS = 40
"""`dual licensed`, `available under a dual license` stand so near to the names. Unit: characters."""
_MAX_SENTENCE_CHARACTERS = 2_000
"""What stands behind in one sentence is no sentence: each verb looks at all that is before it."""


def forbidden_by(text: str) -> list[str]:
    """Restrictive licences that any sentence puts a part of the work under; what limits its use is proprietary."""
    found = set()
    for words in _sentences(text):
        found |= {name for name in _stated(words, of_project=False) if not is_permissive(name)}
        if _FORBIDS.search(words):
            found.add(PROPRIETARY)
    return sorted(found)


def is_pointer(text: str) -> bool:
    """Whether a licence file only says in which other file the licence stands."""
    words = normalise(text[:_MAX_SENTENCE_CHARACTERS])
    return len(words) <= _MAX_POINTER_WORDS and _POINTER.search(" ".join(words)) is not None


def noticed_in(head: str) -> list[str]:
    """Restrictive licences that the head of a source file puts it under, sorted.

    Read are the comments, and all that stands before the first statement which is no import; what the program writes
    is not. Beside sentences count labels (`License: GPL v3`), `__license__`, and the GNU licences by their full names.
    """
    prose = _prose(head)
    found = set(forbidden_by(prose))
    found |= _labelled([*_LABEL.findall(prose), *(value for _, value in _ASSIGNED.findall(head))])
    if not found:
        sentences = (words for words in _sentences(prose) if not _NO_NOTICE.search(words) and not _OTHERS.search(words))
        found |= {
            name for words in sentences if _FULL_NAME.search(words) for name in restrictive_in(words) if "GPL" in name
        }
    return sorted(found)


def _labelled(values: list[str]) -> set[str]:
    """The restrictive licences that labels name."""
    named = (license_of_name(value) for value in values)
    return {one.expression for one in named if one and not is_permissive(one.expression)}


def _prose(head: str) -> str:
    lines, in_code = [], False
    for line in head.split("\n"):
        in_code = in_code or _CODE.match(line) is not None
        is_prose = line.lstrip().startswith("#") if in_code else not _IMPORT.match(line)
        lines.append(_COMMENT_SIGNS.sub("", line) if is_prose else "")
    return "\n".join(lines)


def stated_license(text: str) -> str | None:
    """The licence that sentences state for the whole project, and what any forbids; null where none does."""
    names = {name for words in _sentences(text) for name in _stated(words, of_project=True)}
    names.update(_in_sections(text))
    names |= _labelled(_LABEL.findall(text[:_MAX_CHARACTERS]))
    found = {*names, *forbidden_by(text)}
    return conjunction(found) if names else None


def _sentences(text: str) -> Iterator[str]:
    for sentence in _SENTENCE_END.split(text[:_MAX_CHARACTERS]):
        words = " ".join(normalise(sentence))
        if words:
            yield words


def _stated(words: str, *, of_project: bool) -> Iterator[str]:
    for verb in _VERB.finditer(words[:_MAX_SENTENCE_CHARACTERS]):
        before = words[: verb.start()].strip()
        subject = f"{before} {verb[0].partition(' under')[0]}"
        if _DENIED.search(before) or _DENIED.search(subject) or _OTHERS.search(before):
            continue
        if of_project and len(set(before.split()) - _PROJECT) > 1:
            continue
        behind, choice = words[verb.end() :].split(), "dual" in subject[-_SUBJECT_CHARACTERS:]
        named = list(_names(behind, choice=choice))
        if not named and not of_project and "aggregation" not in behind[:_MAX_NAME_WORDS]:
            named = restrictive_in(" ".join(behind[:_MAX_NAME_WORDS]))
        yield from named


def _names(words: list[str], *, choice: bool = False) -> Iterator[str]:
    """The licence named by the first words, with those that `or` and `and` join to it; in a choice `and` means `or`."""
    first = _first_name(words)
    if first is None:
        return
    name, length = first
    rest = words[length:]
    joined = next((place for place, word in enumerate(rest[:5]) if word in ("or", "and")), len(rest))
    after = itertools.dropwhile(lambda word: word in ("the", "under", "a"), rest[joined + 1 :])
    second = next(_names(list(after)[:_MAX_SECTION_WORDS], choice=choice), None)
    if second is None:
        yield name
    elif choice or rest[joined] == "or":
        yield f"{name} OR {second}"
    else:
        yield from (name, second)


def _first_name(words: list[str]) -> tuple[str, int] | None:
    for length in range(min(_MAX_NAME_WORDS, len(words)), 0, -1):
        if found := named_license(" ".join(words[:length])):
            return found.expression, length
    return None


def _in_sections(text: str) -> Iterator[str]:
    """What the paragraph below a heading `License` names, where it is short, such as `MIT`."""
    for heading in _HEADING.finditer(text[:_MAX_CHARACTERS]):
        paragraph = re.split(
            r"\n\s*\n", text[heading.end() : heading.end() + _MAX_SENTENCE_CHARACTERS].strip(), maxsplit=1
        )[0]
        words = normalise(paragraph)
        if len(words) <= _MAX_SECTION_WORDS and not _DENIED.search(" ".join(words[:4])):
            yield from _names(words)
