"""Names of persons where comments and metadata name them: author lines, `TODO(user)`, thanks to `@user`."""

import itertools
import re
from collections.abc import Iterator

from minicode_assets.corpus.pii.spans import Regions, Span, places_of

MAY_HAVE_CREDIT = (
    r"(?:[Aa]uthor|AUTHOR|[Mm]aintainer|MAINTAINER)[sS]?(?:__)?[\"']?[ \t]*(?:[:=]|[\"']?[A-Z])"
    r"|(?:ritten|ontributed|odified|dapted|reated|aintained|mplemented|eveloped|orted|uggested) by"
)
MAY_HAVE_TODO = r"(?:TODO|FIXME|XXX|HACK|NOTE|BUG|todo|fixme)\("
MAY_HAVE_MENTION = r"#[^\n]{0,200}@[A-Za-z]"
"""Patterns without which the finds of the functions below are not in a text."""
_WORD = r"[A-Z\u00c0-\u00de][\w'\u2019-]{0,30}"
_PARTICLES = r"(?:(?:van|von|der?|den|da|di|del?|dos|la|le|bin|al|ten|ter|af|zu)[ ]){0,2}"
_NAME = re.compile(rf"(?:[A-Z]\.|{_WORD})(?:[ ]{_PARTICLES}(?:[A-Z]\.|{_WORD})){{1,4}}")
"""Two capitalised words or more. Source: StarCoder2 replaces names of two words and more, curation.md 1."""
_CREDIT = re.compile(
    r"(?:authors?|maintainers?)[ ]?[:=]?:?[ \t]{0,8}(?:by[ ])?"
    r"|(?:written|contributed|modified|adapted|created|maintained|implemented|developed|ported|reported|suggested)[ ]by"
    r":?[ ]{1,4}",
    re.IGNORECASE,
)
_CREDIT_STARTS = ("author", "maintain")
_CREDIT_BY = (
    "written",
    "contributed",
    "modified",
    "adapted",
    "created",
    "implemented",
    "developed",
    "ported",
    "reported",
    "suggested",
)
"""In lower case: how credits begin, and the words that `by` makes one of."""
_FIELD = re.compile(
    r"(?:author|maintainer)s?(?:__)?[\"']?[ \t]{0,4}([=:])[ \t]{0,4}[\[(]?[ \t]{0,4}u?([\"'])([^\"'\n]{2,120})\2"
)
_TODO_WORDS = ("TODO(", "FIXME(", "XXX(", "HACK(", "NOTE(", "BUG(", "todo(", "fixme(")
_TODO = re.compile(r"\b[A-Za-z]+\(@?([A-Za-z][\w.-]{1,38})\)")
_MENTION = re.compile(r"(?<![\w.@/`\"'(])@([A-Za-z][A-Za-z0-9_-]{1,38})(?![\w(`\"'/@-]|\.\w)")
_CUE = re.compile(
    r"(?:\b(?:by|thanks|thank|thx|kudos|cc|credits?|ask|ping|contact|courtesy|via|authors?|maintainers?|assignee"
    r"|assigned|owners?|reviewers?|reported|suggested|due|h/t|from|of|props|attn|hi|hey|and[ ]to)\b|@[\w-]{2,39})[:,]?"
    r"(?:[ ](?:to|and|&))?[ ]{0,2}\Z",
    re.IGNORECASE,
)
_NOT_USERS = frozenset(
    [
        "param",
        "params",
        "parameter",
        "parameters",
        "return",
        "returns",
        "rtype",
        "type",
        "arg",
        "args",
        "raise",
        "raises",
        "throws",
        "exception",
        "see",
        "since",
        "author",
        "authors",
        "version",
        "deprecated",
        "todo",
        "note",
        "notes",
        "warning",
        "brief",
        "file",
        "class",
        "package",
        "module",
        "property",
        "parametrize",
        "parametrized",
        "staticmethod",
        "classmethod",
        "abstractmethod",
        "overload",
        "override",
        "contextmanager",
        "dataclass",
        "wraps",
        "cached_property",
        "setter",
        "getter",
        "deleter",
        "pytest",
        "fixture",
        "mock",
        "patch",
        "app",
        "route",
        "task",
        "login_required",
        "generated",
        "license",
        "copyright",
        "file",
        "example",
        "examples",
        "link",
        "private",
        "public",
        "protected",
        "internal",
        "static",
        "final",
        "nullable",
        "suppress",
        "ignore",
        "noqa",
        "lru_cache",
        "cache",
        "jit",
        "njit",
        "vectorize",
        "decorator",
        "functools",
        "typing",
        "here",
        "all",
        "everyone",
        "channel",
        "media",
        "import",
        "keyframes",
        "start",
        "end",
        "code",
        "endcode",
        "ingroup",
        "defgroup",
        "section",
        "subsection",
        "ref",
        "p",
        "c",
        "a",
        "b",
        "e",
        "def",
        "define",
        "typechecked",
        "page",
        "font-face",
        "printf",
        "sprintf",
        "bug",
        "unusedimport",
        "reimport",
    ]
)
_NOT_TODO_USERS = re.compile(
    r"(?:gh|bpo|issue|pr|py|python|v|bug|pep|rfc|bz|trac|jira|ticket|release|next|later|soon|all|anyone|docs?|perf|test"
    r"|tests|typing|security|cleanup|refactor|optimi[sz]ation|deprecated?|remove|api|future|self|none|true|false|x|b)"
    r"(?:[_.-]?\d[\w.-]*)?\Z|[A-Z]{2,}-\d+\Z",
    re.IGNORECASE,
)
_BETWEEN = re.compile(r"(?:[ ]?[<(][^>)\n]{0,100}[>)])?(?:[ ]?[,;&/][ ]?(?:and[ ])?|[ ]and[ ])")
_ORGANISATION = re.compile(
    r"\b(?:team|inc|llc|ltd|gmbh|foundation|authors?|contributors?|developers?|project|corporation|corp|company"
    r"|community|university|institute|software|group|labs?|laboratory|google|microsoft|authority|association|society"
    r"|center|centre|department|consortium|committee|python|maintainers?|various|others|unknown|none|services|amazon|xxx|name|your|my"
    r"|the|this|see|file|class|from|test|license|copyright|version|all|rights|reserved)\b",
    re.IGNORECASE,
)


def find_fields(regions: Regions) -> Iterator[Span]:
    """`__author__ = "..."`, `author="..."` of setup(): each name, or the whole value where it is one user name."""
    for place in regions.places(("author", "maintainer")):
        match = _FIELD.match(regions.text, place)
        if not match:
            continue
        start, end = match.span(3)
        region = regions.around(start, end)
        if region is None or regions.text[region[0]] == "#":
            continue
        spans = list(_names_in(regions.text, start, end, "author_field"))
        if not spans and match[1] == "=" and re.fullmatch(r"[A-Za-z][\w.-]{2,38}", match[3]):
            spans = [] if _ORGANISATION.search(match[3]) else [Span(start, end, "name", "author_field")]
        yield from spans


def find_credits(regions: Regions) -> Iterator[Span]:
    """`Author: Ada Lovelace <...>, Charles Babbage` in comments and docstrings, to the end of the line.

    Copyright lines keep their names: their licences ask that the notice stays.
    """
    text = regions.text
    for place in itertools.chain(regions.places(_CREDIT_STARTS), regions.places_before(" by", _CREDIT_BY)):
        match = _CREDIT.match(text, place)
        region = regions.around(*match.span()) if match and _NAME.match(text, match.end()) else None
        if match is None or region is None:
            continue
        line_end = text.find("\n", match.end(), region[1])
        end = min(line_end if line_end >= 0 else region[1], match.end() + 200)
        yield from _names_in(text, match.end(), end, "credit")


def find_todos(regions: Regions) -> Iterator[Span]:
    """`TODO(user)` in comments."""
    for place in sorted(place for word in _TODO_WORDS for place in places_of(word, regions.text)):
        match = _TODO.match(regions.text, place)
        if match and regions.in_comment(*match.span()) and not _NOT_TODO_USERS.match(match[1]):
            yield Span(*match.span(1), "name", "todo")


def find_mentions(regions: Regions) -> Iterator[Span]:
    """`@user` in comments."""
    for place in places_of("@", regions.text):
        match = _MENTION.match(regions.text, place)
        if match and regions.in_comment(*match.span()) and _is_user(regions.text, match):
            yield Span(*match.span(1), "name", "mention")


def _names_in(text: str, start: int, end: int, rule: str) -> Iterator[Span]:
    """Names that stand one after the other from `start` on, with addresses, commas and `and` between them."""
    position = start
    while position < end:
        name = _NAME.match(text, position, end)
        if not name or _ORGANISATION.search(name[0]):
            return
        yield Span(*name.span(), "name", rule)
        between = _BETWEEN.match(text, name.end(), end)
        if not between:
            return
        position = between.end()


def _is_user(text: str, match: re.Match[str]) -> bool:
    """Whether an `@name` in a comment is addressed or credited; a decorator or a documentation tag is not."""
    if match[1].lower() in _NOT_USERS or match[1].isupper():
        return False
    line = text[max(text.rfind("\n", 0, match.start()) + 1, match.start() - 60) : match.start()]
    if _CUE.search(line):
        return True
    opens = line.rpartition("#")[2].strip() == ""
    return opens and re.match(r"[:,][ ]\w", text[match.end() : match.end() + 3]) is not None
