"""Keys and passwords in comments and string literals: by the makers' prefixes, and by entropy beside a telling name.

A string that only looks random is no secret: hashes, UUIDs, digests of lock files and test vectors look the same.
"""

import itertools
import math
import re
import string
from collections import Counter
from collections.abc import Iterator

from minicode_assets.corpus.pii.spans import Regions, Span, after_escape

PREFIXES = {
    "aws_access_key": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",
    "github": r"gh[pousr]_[A-Za-z0-9]{36,251}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}",
    "gitlab": r"gl(?:pat|dt|rt|ptt|cbt)-[\w-]{20,64}",
    "slack": r"xox[abeoprs]-[A-Za-z0-9-]{10,250}|xapp-\d-[A-Za-z0-9-]{20,200}",
    "slack_webhook": r"(?<=hooks\.slack\.com/services/)T\w{8,12}/B\w{8,12}/\w{20,30}",
    "discord_webhook": r"(?<=/api/webhooks/)\d{17,20}/[\w-]{60,80}",
    "stripe": r"(?:[sr]k_(?:live|test)|whsec)_[A-Za-z0-9]{24,247}",
    "google_api": r"AIza[\w-]{35}",
    "google_oauth": r"ya29\.[\w-]{30,500}|GOCSPX-[\w-]{28}",
    "openai": r"sk-(?:proj-|svcacct-|admin-|None-)?[\w-]{20,160}T3BlbkFJ[\w-]{20,160}|sk-[A-Za-z0-9]{48}",
    "anthropic": r"sk-ant-[a-z]{3,8}\d\d-[\w-]{60,120}",
    "hugging_face": r"(?:hf|api_org)_[A-Za-z]{34}",
    "npm": r"npm_[A-Za-z0-9]{36}",
    "pypi": r"pypi-Ag[\w-]{50,400}",
    "sendgrid": r"SG\.[\w-]{22}\.[\w-]{43}",
    "mailgun": r"key-[0-9a-f]{32}",
    "twilio": r"SK[0-9a-f]{32}",
    "telegram": r"\d{8,10}:AA[\w-]{33}",
    "discord": r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",
    "jwt": r"eyJ[\w-]{10,2000}\.eyJ[\w-]{10,4000}\.[\w-]{20,1000}",
    "digitalocean": r"do[opr]_v1_[0-9a-f]{64}",
    "shopify": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}",
    "databricks": r"dapi[0-9a-f]{32}(?:-\d)?",
    "square": r"sq0(?:atp|csp)-[\w-]{22,43}",
    "azure_storage": r"(?<=AccountKey=)[A-Za-z0-9+/]{86}==",
    "new_relic": r"NRAK-[A-Z0-9]{27}",
    "linear": r"lin_api_[A-Za-z0-9]{40}",
    "atlassian": r"ATATT3[\w=-]{60,300}",
    "groq": r"gsk_[A-Za-z0-9]{52}",
    "doppler": r"dp\.(?:pt|st|ct)\.[A-Za-z0-9]{40,48}",
    "age": r"AGE-SECRET-KEY-1[0-9A-Z]{58}",
}
"""Form of each maker's keys, as their documentation shows it. Every length is bounded, so time is linear."""
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
MAY_HAVE_PREFIX = (
    r"A[KSBC][IC]A[A-Z0-9]{9}|gh[pousr]_[A-Za-z0-9]{9}|github_pat_|gl(?:pat|dt|rt|ptt|cbt)-|xox[abeoprs]-|xapp-"
    r"|hooks\.slack|/webhooks/[0-9]|[sr]k_(?:live|test)_|whsec_|AIza|ya29\.|GOCSPX-|sk-[A-Za-z0-9-]{9}|hf_[A-Za-z]{20}"
    r"|api_org_|npm_[A-Za-z0-9]{20}|pypi-Ag|SG\.[A-Za-z0-9_-]{9}|key-[0-9a-f]{9}|SK[0-9a-f]{9}|:AA[A-Za-z0-9_-]{9}"
    r"|\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}|eyJ[A-Za-z0-9_-]{9}|do[opr]_v1_|shp(?:at|ca|pa|ss)_|dapi[0-9a-f]{9}|sq0"
    r"|AccountKey=|NRAK-|lin_api_|ATATT3|gsk_|dp\.[psc]t\.|AGE-SECRET"
)
MAY_HAVE_PRIVATE_KEY = "PRIVATE KEY"
MAY_HAVE_LOGIN = r"://[^ \n:/@'\"<>]{1,64}:[^ \n/@'\"<>]{1,64}@"
MAY_HAVE_AUTHORIZATION = r"(?i:bearer|basic) [A-Za-z0-9_.~+/-]{16}"
MAY_HAVE_ASSIGNMENT = rf"(?i:{_ASSIGNED})[\"'][^\"'\s]{{4}}"
"""Patterns without which the finds of the functions below are not in a text."""
_PREFIXED = re.compile(
    r"(?<![A-Za-z0-9_-])(?:" + "|".join(f"(?P<{name}>{form})" for name, form in PREFIXES.items()) + r")(?![A-Za-z0-9_])"
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
    # An escape sequence such as \\n before a key hides its start: blank it out, at the same length.
    shown = _ESCAPE.sub("  ", text) if "\\" in text else text
    for match in _PREFIXED.finditer(shown):
        if entropy_bits(match[0]) > 2.5 and not _SAMPLE_KEY.search(match[0]):
            yield *match.span(), str(match.lastgroup)


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
