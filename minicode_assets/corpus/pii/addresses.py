"""Public IP addresses in comments and string literals; version numbers, sections and private addresses are none."""

import functools
import ipaddress
import re
from collections.abc import Iterator, Sequence

from minicode_assets.corpus.pii.spans import Regions, Span

MAY_OCCUR = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[23][0-9A-Fa-f]{3}:[0-9A-Fa-f]{0,4}:"
"""Pattern without which no address is in a text."""
_IPV4 = re.compile(r"(?:(?<![\w.])|(?<=\\[ntr]))(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?:(?<![\w:.])|(?<=\\[ntr]))[23][0-9A-Fa-f]{3}(?::[0-9A-Fa-f]{0,4}){2,7}+(?![\w:]|\.\w)")
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All IPv6 addresses that are given out so far. Source: IANA."""
_CONTEXT_CHARACTERS = 48
_VERSION = re.compile(
    r"(?:\b(?:v|ver|versions?|releases?|released|rev|revision|build|sections?|chapter|sec|clause|figure|table|appendix"
    r"|rule|since|requires?|upgrade[ds]?|python|pypi|pip|changelog|changed|added|deprecated|removed|firmware|driver"
    r"|oid|rfc)\b|object_?identifier|__version__|_version|version_|§)[^\n,;]{0,24}\Z|(?:[=~<>!]=|[<>^~]) ?\Z",
    re.IGNORECASE,
)
_AFTER_VERSION = re.compile(r"[ ]?(?:-?(?:alpha|beta|rc|dev|post|snapshot)|\+|\.(?:tar|zip|whl|dev|post|x|\*))", re.I)
_NETWORK = re.compile(
    r"ip|host|addr|server|dns|gateway|proxy|peer|remote|client|connect|bind|listen|route|subnet|netmask|ping|ssh|ftp"
    r"|https?|socket|url|endpoint|nameserver|forwarded|x-real|origin|cidr|network|::ffff:|from\b",
    re.IGNORECASE,
)
_PORT_OR_NETWORK = re.compile(r":\d{2,5}\b|/\d{1,2}\b")
_SMALL_OCTET = 31
"""Four numbers up to this one, with no word about networks before them, are a version: `Oracle 12.1.0.2`."""


def find_addresses(regions: Regions, *, left: Sequence[str]) -> Iterator[Span]:
    """Addresses of public hosts.

    Args:
        regions: The text.
        left: Addresses that everybody knows, such as those of public name servers.
    """
    known = {None, *(ipaddress.ip_address(address) for address in left)}
    for match in _IPV4.finditer(regions.text):
        if _is_public(match[0]) not in known and _is_address(regions, match):
            yield Span(*match.span(), "ip", "ipv4")
    for match in _IPV6.finditer(regions.text):
        address = _is_public(match[0])
        if address not in known and address in _GLOBAL_UNICAST and regions.around(*match.span()):
            yield Span(*match.span(), "ip", "ipv6")


@functools.lru_cache(1 << 12)
def _is_public(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address, if it is one that can be reached from everywhere: not private, local, documentation, reserved."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address if address.is_global and not address.is_multicast else None


def _is_address(regions: Regions, match: re.Match[str]) -> bool:
    """Whether four numbers in a comment or literal are an address and no version, by what stands beside them."""
    start, end = match.span()
    region, text = regions.around(start, end), regions.text
    if region is None or _AFTER_VERSION.match(text, end):
        return False
    if text[start - 1 : start] in ("-", "_") and text[start - 2 : start - 1].isalpha():
        return False
    line = text[max(0, start - _CONTEXT_CHARACTERS) : start].rpartition("\n")[2]
    network, version = _last_words(line)
    if version >= 0 and version >= network - 1:
        return False
    is_small = all(int(octet) <= _SMALL_OCTET for octet in match[0].split("."))
    return not is_small or network >= 0 or _PORT_OR_NETWORK.match(text, end) is not None


@functools.lru_cache(1 << 12)
def _last_words(line: str) -> tuple[int, int]:
    """Where the last word about networks ends in what stands before an address, and where one about versions begins.

    -1 where there is none. What stands before one address of a table stands before the next one too.
    """
    version = _VERSION.search(line)
    return max((found.end() for found in _NETWORK.finditer(line)), default=-1), version.start() if version else -1
