"""Bytes become text: byte order marks, PEP 263 cookies and UTF-8, in that order, strictly."""

import codecs
import re
from dataclasses import dataclass

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""UTF-32 comes before UTF-16: its little-endian mark begins with UTF-16's."""
_COOKIE = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
"""Source: PEP 263."""
_BLANK = re.compile(rb"^[ \t\f]*(?:#.*)?$")
_NOT_CHARSETS = frozenset({"unicode_escape", "raw_unicode_escape", "utf_7", "idna", "punycode", "undefined"})
"""Codecs that rewrite text rather than spell a character set."""


@dataclass(frozen=True)
class Decoded:
    """The outcome of decoding.

    Attributes:
        status: ok, nul (a NUL character: binary) or undecodable.
        encoding: The codec that decoded it; null unless ok.
        text: Without its byte order mark, newlines as they were; null unless ok.
    """

    status: str
    encoding: str | None = None
    text: str | None = None


def decode(content: bytes) -> Decoded:
    """Decode a Python file's bytes.

    A cookie that names an unknown codec, or one that can't decode the bytes, is passed over for UTF-8: the file would
    not run, but its text is there.
    """
    for encoding in _candidates(content):
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        return Decoded("nul") if "\0" in text else Decoded("ok", encoding, text)
    return Decoded("nul" if b"\0" in content else "undecodable")


def _candidates(content: bytes) -> list[str]:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return [encoding]
    named = cookie(content)
    return [named, "utf-8"] if named and named != "utf-8" else ["utf-8"]


def cookie(content: bytes) -> str | None:
    """The character set that a PEP 263 cookie in the first two lines names, as Python spells it; null without one."""
    for line in re.split(rb"\r\n|\r|\n", content[:4096], maxsplit=2)[:2]:
        if match := _COOKIE.match(line):
            return _charset(match[1].decode("ascii", errors="replace"))
        if not _BLANK.match(line):
            return None
    return None


def _charset(name: str) -> str | None:
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
    except (LookupError, ValueError):
        return None
    return None if found.name.replace("-", "_") in _NOT_CHARSETS else found.name
