"""E-mail addresses in comments and string literals. Time is linear: a bounded look to both sides of each `@`."""

import re
from collections.abc import Iterator, Sequence

from minicode_assets.corpus.pii.spans import Regions, Span, after_escape

MAY_OCCUR = r"[\w%+-]@\w"
"""Pattern without which no address is in a text."""
_LOCAL_BACKWARDS = re.compile(r"[\w.%+'-]+")
_DOMAIN = re.compile(r"[\w-]++(?:\.[\w-]++)++")
_OPENING = re.compile(r"(?:[bBfFrRuU]{0,2}[\"']+)(?=\w)")
_LOCAL_CHARACTERS = 64
_DOMAIN_CHARACTERS = 254
"""Longest local part and domain. Source: RFC 5321, 4.5.3.1."""
_GENERIC = frozenset(
    [
        "com",
        "org",
        "net",
        "edu",
        "gov",
        "mil",
        "int",
        "info",
        "biz",
        "name",
        "pro",
        "aero",
        "coop",
        "museum",
        "jobs",
        "mobi",
        "travel",
        "tel",
        "cat",
        "asia",
        "post",
        "xxx",
        "arpa",
        "app",
        "dev",
        "io",
        "page",
        "blog",
        "cloud",
        "club",
        "codes",
        "email",
        "eu",
        "expert",
        "foundation",
        "global",
        "group",
        "guru",
        "help",
        "host",
        "life",
        "live",
        "me",
        "media",
        "network",
        "news",
        "online",
        "agency",
        "academy",
        "bio",
        "center",
        "chat",
        "city",
        "company",
        "community",
        "consulting",
        "design",
        "digital",
        "engineering",
        "finance",
        "fun",
        "health",
        "house",
        "inc",
        "institute",
        "international",
        "law",
        "link",
        "llc",
        "ltd",
        "gmbh",
        "school",
        "science",
        "services",
        "shop",
        "site",
        "social",
        "software",
        "solutions",
        "space",
        "store",
        "studio",
        "support",
        "systems",
        "team",
        "tech",
        "technology",
        "today",
        "tools",
        "top",
        "training",
        "university",
        "us",
        "video",
        "vip",
        "website",
        "wiki",
        "work",
        "works",
        "world",
        "xyz",
        "zone",
        "berlin",
        "london",
        "paris",
        "nyc",
        "tokyo",
        "bayern",
        "swiss",
        "amsterdam",
        "google",
        "microsoft",
        "apple",
        "ai",
        "gg",
    ]
)
"""Endings of domains with more than two letters; those with two are countries. Source: IANA's list, the frequent ones.
An attribute (`x@self.weight` in a doctest) has none of these."""
_FILE_ENDINGS = frozenset(
    [
        "py",
        "js",
        "ts",
        "md",
        "rs",
        "so",
        "cc",
        "hh",
        "sh",
        "pl",
        "rb",
        "cs",
        "vb",
        "ml",
        "hs",
        "go",
        "ps",
        "gz",
        "xz",
        "db",
    ]
)
"""Two letters that are file names' endings far more often than countries."""
_SERVICES = frozenset(("git", "noreply", "no-reply", "donotreply", "svn", "hg", "postmaster", "mailer-daemon"))
_MACHINES = frozenset(("localhost", "localdomain", "local", "invalid", "test", "example", "internal"))
"""Endings that belong to nobody. Source: RFC 2606, RFC 6761, RFC 6762."""


def find_emails(regions: Regions, *, left: Sequence[str]) -> Iterator[Span]:
    """Addresses of persons and lists.

    Args:
        regions: The text.
        left: Domains whose addresses stay, with all their subdomains.
    """
    text = regions.text
    at = text.find("@")
    while at >= 0:
        span = _address(text, at, left)
        region = regions.around(at, span[1]) if span else None
        if span and region:
            start = _behind_quotes(text, max(span[0], region[0]), at)
            yield Span(after_escape(text, start, at), span[1], "email", "address")
        at = text.find("@", at + 1)


def _behind_quotes(text: str, start: int, at: int) -> int:
    """Where the local part begins that does not hold the opening of a literal: `u'ada@...`, `f(b'ada@...`."""
    opening = _OPENING.match(text, start, at)
    return opening.end() if opening else start


def _address(text: str, at: int, left: Sequence[str]) -> tuple[int, int] | None:
    """(start, end) of the address around one `@`."""
    domain = _DOMAIN.match(text, at + 1, at + 2 + _DOMAIN_CHARACTERS)
    if not domain:
        return None
    local = _LOCAL_BACKWARDS.match(text[max(0, at - _LOCAL_CHARACTERS - 1) : at][::-1])
    if not local or len(local[0]) > _LOCAL_CHARACTERS:
        return None
    name = local[0][::-1].lstrip(".%+'-")
    start = at - len(name)
    if not name or text[start - 2 : start] == "//" or _is_login(text, start):
        return None
    in_brackets = text[start - 1 : start] == "<" and text[domain.end() : domain.end() + 1] == ">"
    if name.lower() in _SERVICES or not _is_domain(domain[0].lower(), left, may_be_file=not in_brackets):
        return None
    return start, domain.end()


def _is_login(text: str, start: int) -> bool:
    """Whether a password stands here: `https://user:password@host`."""
    if text[start - 1 : start] != ":":
        return False
    before = text[max(0, start - 128) : start]
    return re.search(r"://[^\s/\"'<>]*\Z", before[before.rfind("://") :] if "://" in before else "") is not None


def _is_domain(domain: str, left: Sequence[str], *, may_be_file: bool) -> bool:
    ending = domain.rpartition(".")[2]
    if ending in _MACHINES or (may_be_file and ending in _FILE_ENDINGS):
        return False
    if any(domain == other or domain.endswith(f".{other}") for other in left):
        return False
    return (len(ending) == 2 and ending.isalpha()) or ending in _GENERIC or ending.startswith("xn--")
