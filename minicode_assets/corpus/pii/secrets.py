"""Keys and passwords in comments and string literals: by the makers' prefixes, and by entropy beside a telling name.

A string that only looks random is no secret: hashes, UUIDs, digests of lock files and test vectors look the same.
"""

import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from minicode_assets.corpus import native
from minicode_assets.corpus.pii.spans import Regions, Span, after_escape


class Maker(NamedTuple):
    """How the keys of one maker look.

    Attributes:
        rule: The maker, and what it is for.
        starts: First characters, one of which every key has.
        form: The whole key. Every length is bounded, so time is linear.
        least: Least length of the run of letters, digits, `_` and `-` that a key begins with. Unit: characters.
        then: What stands behind that run.
        before: What stands before the key where only that tells it; the key may begin with anything then.
    """

    rule: str
    starts: tuple[str, ...]
    form: str
    least: int = 15
    then: str = ""
    before: str = ""


MAKERS = (
    Maker("aws_access_key", ("AKIA", "ASIA", "ABIA", "ACCA"), r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}"),
    Maker("github", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"gh[pousr]_[A-Za-z0-9]{36,251}", 40),
    Maker("github", ("github_pat_",), r"github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}", 93),
    Maker("gitlab", ("glpat-", "gldt-", "glrt-", "glptt-", "glcbt-"), r"gl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,64}", 25),
    Maker("slack", ("xox",), r"xox[abeoprs]-[A-Za-z0-9-]{10,250}"),
    Maker("slack", ("xapp-",), r"xapp-\d-[A-Za-z0-9-]{20,200}", 27),
    Maker("slack_webhook", (), r"T\w{8,12}/B\w{8,12}/\w{20,30}", before="hooks.slack.com/services/"),
    Maker("discord_webhook", (), r"\d{17,20}/[\w-]{60,80}", before="/api/webhooks/"),
    Maker("stripe", ("sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_"),
          r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{24,247}", 30),
    Maker("google_api", ("AIza",), r"AIza[\w-]{35}", 39),
    Maker("google_oauth", ("ya29",), r"ya29\.[\w-]{30,500}", 4, "."),
    Maker("google_oauth", ("GOCSPX-",), r"GOCSPX-[\w-]{28}", 35),
    Maker("openai", ("sk-",), r"sk-(?:proj-|svcacct-|admin-|None-)?[\w-]{20,160}T3BlbkFJ[\w-]{20,160}", 51),
    Maker("openai", ("sk-",), r"sk-[A-Za-z0-9]{48}", 51),
    Maker("anthropic", ("sk-ant-",), r"sk-ant-[a-z]{3,8}\d\d-[\w-]{60,120}", 73),
    Maker("hugging_face", ("hf_", "api_org_"), r"(?:hf|api_org)_[A-Za-z]{34}", 37),
    Maker("npm", ("npm_",), r"npm_[A-Za-z0-9]{36}", 40),
    Maker("pypi", ("pypi-Ag",), r"pypi-Ag[\w-]{50,400}", 57),
    Maker("sendgrid", ("SG",), r"SG\.[\w-]{22}\.[\w-]{43}", 2, "."),
    Maker("mailgun", ("key-",), r"key-[0-9a-f]{32}", 36),
    Maker("twilio", ("SK",), r"SK[0-9a-f]{32}", 34),
    Maker("telegram", tuple(string.digits), r"[0-9]{8,10}:AA[\w-]{33}", 8, ":AA"),
    Maker("discord", ("M", "N", "O"), r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}", 24, "."),
    Maker("jwt", ("eyJ",), r"eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,1000}", 13, ".eyJ"),
    Maker("digitalocean", ("doo_v1_", "dop_v1_", "dor_v1_"), r"do[opr]_v1_[0-9a-f]{64}", 71),
    Maker("shopify", ("shpat_", "shpca_", "shppa_", "shpss_"), r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}", 38),
    Maker("databricks", ("dapi",), r"dapi[0-9a-f]{32}(?:-\d)?", 36),
    Maker("square", ("sq0atp-", "sq0csp-"), r"sq0(?:atp|csp)-[\w-]{22,43}", 29),
    Maker("azure_storage", (), r"[A-Za-z0-9+/]{86}==", before="AccountKey="),
    Maker("new_relic", ("NRAK-",), r"NRAK-[A-Z0-9]{27}", 32),
    Maker("linear", ("lin_api_",), r"lin_api_[A-Za-z0-9]{40}", 48),
    Maker("atlassian", ("ATATT3",), r"ATATT3[\w=-]{60,300}", 6),
    Maker("groq", ("gsk_",), r"gsk_[A-Za-z0-9]{52}", 56),
    Maker("doppler", ("dp",), r"dp\.(?:pt|st|ct)\.[A-Za-z0-9]{40,48}", 2, "."),
    Maker("recaptcha", ("6L",), r"6L[\w-]{38}", 40),
    Maker("age", ("AGE-SECRET-KEY-1",), r"AGE-SECRET-KEY-1[0-9A-Z]{58}", 74),
)  # fmt: skip
"""Form of each maker's keys, as their documentation shows it. Of two forms that fit at one place the first counts."""
_STARTS = (
    *((start.encode(), maker.least, maker.then.encode(), 0) for maker in MAKERS for start in maker.starts),
    *((maker.before.encode(), 0, b"", len(maker.before)) for maker in MAKERS if maker.before),
)
_NAMES = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|apikey|access[_-]?key|auth[_-]?key|private[_-]?key"
    r"|encryption[_-]?key|signing[_-]?key|credential"
)
_NAME_STARTS = (
    *("passw", "passphrase", "pwd", "secret", "token", "credential"),
    *(
        f"{name}{sign}key"
        for name in ("api", "access", "auth", "private", "encryption", "signing")
        for sign in ("", "_", "-")
    ),
)
"""How those names begin, in lower case."""
_ASSIGNED = (
    rf"(?:{_NAMES})[A-Za-z0-9_-]{{0,24}}[\"'\]]{{0,2}}[ \t]{{0,4}}(?::[ \t]?[A-Za-z_]{{1,12}}[ \t]?)?"
    r"(?::|==?|=>|,)[ \t]{0,4}[A-Za-z]{0,2}"
)
MAY_HAVE_PRIVATE_KEY = "PRIVATE KEY"
MAY_HAVE_LOGIN = r"://[^ \n:/@'\"<>]{1,64}:[^ \n/@'\"<>]{1,64}@"
MAY_HAVE_AUTHORIZATION = r"(?i:bearer|basic) [A-Za-z0-9_.~+/-]{16}"
MAY_HAVE_ASSIGNMENT = rf"(?i:{_ASSIGNED})[\"'][^\"'\s]{{4}}"
"""Patterns without which the finds of the functions below are not in a text."""
_KEY = re.compile(
    r"(?<![A-Za-z0-9_-])(?:"
    + "|".join(
        f"((?<={re.escape(maker.before)}){maker.form})" if maker.before else f"({maker.form})" for maker in MAKERS
    )
    + r")(?![A-Za-z0-9_])"
)
_ESCAPE = re.compile(r"\\[ntr](?=[A-Za-z0-9])")
_SAMPLE_KEY = re.compile(r"EXAMPLE|example|x{6}|X{6}|0{8}|12345678")
_GETTER = re.compile(r"(?:get|getenv|setdefault|config|env|add_header|update)\([ ]?[\"']?[\w-]*\Z")
_ASSIGNMENT = re.compile(rf"({_ASSIGNED})([\"'])([^\"'\s\\]{{4,512}})\2", re.IGNORECASE)
_LOGIN = re.compile(r"://[^\s:/@'\"<>]{1,64}+:([^\s/@'\"<>]{1,64}+)@")
_AUTHORIZATION = re.compile(r"\b(?:bearer|basic) ([A-Za-z0-9_.~+/-]{16,2048}+=*)", re.IGNORECASE)
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,24}PRIVATE KEY(?: BLOCK)?-----")
_PRIVATE_KEY_CHARACTERS = 16_384
_BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{16,}+={0,2}")
_PLACEHOLDER = re.compile(
    r"example|placeholder|changeme|change[_-]me|your|dummy|fake|sample|x{4}|\*{3}|0{6}|1234567|abcdef|insert|redacted"
    r"|<|>|\{|\$[{(]|%\(|%s|\.\.\.|foobar|todo|replace|secret|passw|token|lorem|deadbeef|qwerty|test",
    re.IGNORECASE,
)
_DIGEST = re.compile(
    r"hash|digest|sha\d|md5|hmac|checksum|uuid|guid|vector|expected|signature|nonce|csrf|integrity|etag|fingerprint"
    r"|commit|revision|cursor|page[_-]?token|token_?type|public|_url|_uri|_path|_file|_name|_field|_regex|_pattern|_re\b",
    re.IGNORECASE,
)
_IDENTIFIER = string.ascii_letters + string.digits + "_-"
_UUID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_DJANGO_KEY = re.compile(r"(?:django-insecure-)?[a-z0-9!@#$%^&*(_=+)-]{50}")
"""Source: Django's get_random_secret_key; its signs would be those of a placeholder elsewhere."""
_PASSWORD_NAME = re.compile(r"passw|passphrase|pwd", re.IGNORECASE)
_WORDS = re.compile(r"[A-Za-z]*(?:[_.:/ -][A-Za-z]*)*\d{0,2}\Z")


def entropy_bits(value: str) -> float:
    """Shannon entropy of a text's characters. Unit: bits a character."""
    return -sum(n / len(value) * math.log2(n / len(value)) for n in Counter(value).values())


def find_prefixed(regions: Regions) -> Iterator[Span]:
    """Keys that begin as their maker's keys do, unless they are the ones of the documentation."""
    for start, end, rule in find_keys(regions.text):
        if regions.around(start, end):
            yield Span(start, end, "key", rule)


def find_keys(text: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and maker of what has the form of a maker's key, wherever it stands."""
    places = native.key_places(text, _STARTS)
    if not places:
        return
    # An escape sequence such as \\n before a key hides its start: blank it out, at the same length.
    shown, reached = _ESCAPE.sub("  ", text) if "\\" in text else text, 0
    for place in sorted(places):
        match = _KEY.match(shown, place) if place >= reached else None
        if match:
            reached = match.end()
            if entropy_bits(match[0]) > 2.5 and not _SAMPLE_KEY.search(match[0]):
                yield *match.span(), MAKERS[(match.lastindex or 1) - 1].rule


def joined_literals(text: str) -> list[list[tuple[int, int]]]:
    """(start, end) of what is between the quotes of literals that are put together, where a key may begin in them."""
    return native.joined_key_places(text, _STARTS)


def find_private_keys(regions: Regions) -> Iterator[Span]:
    """The encoded lines of each private key, one by one: a key may be spread over several literals."""
    text, reached = regions.text, 0
    for header in _PRIVATE_KEY.finditer(text):
        if header.start() < reached:
            continue
        end = text.find("-----END ", header.end(), header.end() + _PRIVATE_KEY_CHARACTERS)
        reached = end if end >= 0 else header.end() + _PRIVATE_KEY_CHARACTERS // 4
        for run in _BASE64_RUN.finditer(text, header.end(), reached):
            if regions.around(*run.span()):
                yield Span(after_escape(text, *run.span()), run.end(), "key", "private_key")


def find_logins(regions: Regions) -> Iterator[Span]:
    """Passwords in addresses: `https://user:password@host`."""
    for match in _LOGIN.finditer(regions.text):
        if _is_password(match[1]) and regions.around(*match.span(1)):
            yield Span(*match.span(1), "password", "url")


def find_authorizations(regions: Regions, *, min_entropy_bits: float, min_key_length: int) -> Iterator[Span]:
    """Tokens in HTTP headers: `Bearer ...`. The limits are those of `find_assigned`."""
    for match in _AUTHORIZATION.finditer(regions.text):
        if _is_random(match[1], min_entropy_bits, min_key_length) and regions.around(*match.span(1)):
            yield Span(*match.span(1), "key", "authorization")


def find_assigned(regions: Regions, *, min_entropy_bits: float, min_key_length: int) -> Iterator[Span]:
    """Literals that are assigned to, or stand behind, a name that says key, token or password.

    Args:
        regions: The text.
        min_entropy_bits: Least entropy of a key. Unit: bits a character.
        min_key_length: Least length of a key; hexadecimal ones are twice as long. Unit: characters.
    """
    text = regions.text
    for place in regions.places(_NAME_STARTS):
        match = _ASSIGNMENT.match(text, place)
        if not match:
            continue
        before = text[max(0, match.start() - 48) : match.start()]
        name = before[len(before.rstrip(_IDENTIFIER)) :] + match[1]
        if "," in match[1] and not _GETTER.search(before):
            continue
        kind = _kind_of(name, match[3], min_entropy_bits, min_key_length)
        if kind and regions.around(*match.span(3)):
            yield Span(*match.span(3), kind, "assignment")


def _kind_of(name: str, value: str, min_entropy_bits: float, min_key_length: int) -> str:
    """`password`, `key`, or empty for a value that is neither."""
    if _DIGEST.search(name) or "://" in value or _UUID.match(value):
        return ""
    if _DJANGO_KEY.fullmatch(value) and entropy_bits(value) >= min_entropy_bits:
        return "key"
    if _PASSWORD_NAME.search(name):
        return "password" if _is_password(value) else ""
    return "key" if _is_random(value, min_entropy_bits, min_key_length) else ""


def _is_password(value: str) -> bool:
    """Letters with digits or signs that are no words, no field's name and no placeholder."""
    if len(value) < 4 or _PLACEHOLDER.search(value) or value[0] in "%$:([" or value[-1] in ":)]":
        return False
    if _WORDS.match(value) and not re.search(r"\d", value):
        return False
    return len(set(value)) > 3 and not value.isdigit()


def _is_random(value: str, min_entropy_bits: float, min_length: int) -> bool:
    """Long enough, of letters and digits, and evenly mixed; hexadecimal has 4 bits at most, so it may have half less.

    Words joined by signs (`django.core.signing`) are none, however long.
    """
    if len(value) < min_length or _PLACEHOLDER.search(value) or _UUID.match(value) or _WORDS.match(value):
        return False
    if not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value):
        return False
    if re.fullmatch(r"[0-9a-fA-F]+", value):
        return (
            len(value) >= 2 * min_length and entropy_bits(value) >= min_entropy_bits - 0.5 and not _is_sequence(value)
        )
    return bool(re.fullmatch(r"[\w+/=.~!@#%^&*-]+", value)) and entropy_bits(value) >= min_entropy_bits


def _is_sequence(value: str) -> bool:
    """Whether hexadecimal bytes count up or down, as those of test vectors do: 000102030405..."""
    octets = [int(value[i : i + 2], 16) for i in range(0, len(value) - 1, 2)]
    steps = Counter((b - a) % 256 for a, b in itertools.pairwise(octets))
    return steps.most_common(1)[0][1] > len(octets) // 2 if steps else True
