"""Bytes become text: byte order marks, PEP 263 cookies and UTF-8, in that order, strictly; then by detection."""

import codecs
import re
from collections.abc import Sequence
from dataclasses import dataclass

from charset_normalizer import from_bytes

from minicode_assets.sources.byte_shapes import charset_by_shape, is_surely_paired

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


_BEYOND_ASCII = re.compile("[^\x00-\x7f]+")
_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
"""Half a character as UTF-8 would spell it: damaged text, whatever else the bytes could mean."""
_WIDE = (
    ("utf-32-le", 4, (2, 3)),
    ("utf-32-be", 4, (0, 1)),
    ("utf-16-le", 2, (1,)),
    ("utf-16-be", 2, (0,)),
)
"""Codec, bytes a unit, places of the bytes that are NUL in Latin text."""
_MIN_HIGH_NULS_FRACTION = 0.7
"""Source code is mostly ASCII, whatever language its comments are in."""
_ASCII = bytes(range(48, 58)) + bytes(range(65, 91)) + bytes(range(97, 123)) + b"#:= \n"


@dataclass(frozen=True)
class Decoded:
    """The outcome of decoding.

    Attributes:
        status: ok, nul (a NUL character: binary) or undecodable.
        encoding: The codec that decoded it; null unless ok.
        text: Without its byte order mark, newlines as they were; null unless ok.
        told_by: What named the codec: `mark`, `cookie`, `default` (UTF-8, as nothing says otherwise), `passed_over`
            (UTF-8, as the cookie's codec is unknown or fails) or `guess`, made on the bytes alone; null unless ok.
    """

    status: str
    encoding: str | None = None
    text: str | None = None
    told_by: str | None = None


def decode(content: bytes, *, detect: Sequence[str] = ()) -> Decoded:
    """Decode a Python file's bytes.

    A cookie that names an unknown codec, or one that can't decode the bytes, is passed over for UTF-8: the file would
    not run, but its text is there.

    Args:
        content: The file.
        detect: Codecs of which one may be guessed where nothing else decodes the bytes; UTF-16 and UTF-32 without a
            mark are recognised by their NUL bytes if there is any.
    """
    for encoding, told_by in _candidates(content):
        try:
            text = content.decode(encoding)
        except UnicodeError:
            continue
        if "\0" not in text:
            return Decoded("ok", encoding, text, told_by)
    found = _detect(content, detect) if detect and not has_mark(content) else None
    if found:
        return Decoded("ok", *found, "guess")
    return Decoded("nul" if b"\0" in content else "undecodable")


def has_mark(content: bytes) -> bool:
    """Whether the bytes begin with a byte order mark."""
    return content.startswith(tuple(mark for mark, _ in _MARKS))


def _detect(content: bytes, codecs_allowed: Sequence[str]) -> tuple[str, str] | None:
    """(codec, text) by what the bytes look like; null where they look like no text, or like damaged UTF-8."""
    if b"\0" in content:
        return _wide_text(content)
    repaired = content.decode("utf-8", errors="replace")
    num_bad = repaired.count("\ufffd")
    num_good = sum(map(len, _BEYOND_ASCII.findall(repaired))) - num_bad
    is_damaged = num_bad < num_good or _SURROGATE.search(content) or (num_bad == 1 and _is_cut(content))
    if is_damaged and not is_surely_paired(content):
        return None
    allowed = _plausible(content, codecs_allowed)
    best = from_bytes(content, cp_isolation=allowed).best() if allowed else None
    return (best.encoding, str(best)) if best else None


def _is_cut(content: bytes) -> bool:
    """Whether it is UTF-8 whose last character is cut off."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(content)
    except UnicodeDecodeError:
        return False
    return True


def _plausible(content: bytes, codecs_allowed: Sequence[str]) -> list[str]:
    """The one codec that the bytes look like; else all that are allowed, but Shift JIS that is half-width katakana."""
    shape = charset_by_shape(content, codecs_allowed)
    if shape:
        try:
            content.decode(shape)
        except UnicodeDecodeError:
            pass
        else:
            return [shape]
    return [codec for codec in codecs_allowed if codec != "cp932" or not _is_half_width(content)]


def _is_half_width(content: bytes) -> bool:
    beyond = "".join(_BEYOND_ASCII.findall(content.decode("cp932", errors="replace")))
    return 2 * sum("\uff61" <= letter <= "\uff9f" for letter in beyond) > len(beyond)


def _wide_text(content: bytes) -> tuple[str, str] | None:
    """UTF-32 or UTF-16 without a mark: printable text nearly all of whose high bytes are NUL."""
    for codec, width, high in _WIDE:
        columns = [content[place::width].count(0) * width / len(content) for place in range(width)]
        if len(content) % width or min(columns[place] for place in high) < _MIN_HIGH_NULS_FRACTION:
            continue
        try:
            text = content.decode(codec)
        except UnicodeError:
            continue
        if all(character.isprintable() or character in "\t\n\r\f" for character in text):
            return codec, text
    return None


def _candidates(content: bytes) -> list[tuple[str, str]]:
    """Codecs to try, in order, each with what names it."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return [(encoding, "mark")]
    written = _written_cookie(content)
    if written is None:
        return [("utf-8", "default")]
    named = charset_of(written)
    if named == "utf-8":
        return [("utf-8", "cookie")]
    return [*([(named, "cookie")] if named else []), ("utf-8", "passed_over")]


def cookie(content: bytes) -> str | None:
    """The character set that a PEP 263 cookie in the first two lines names, as Python spells it; null without one."""
    written = _written_cookie(content)
    return None if written is None else charset_of(written)


def _written_cookie(content: bytes) -> str | None:
    """The name in the cookie, as it is written."""
    for line in re.split(rb"\r\n|\r|\n", content[:4096], maxsplit=2)[:2]:
        if match := _COOKIE.match(line):
            return match[1].decode("ascii", errors="replace")
        if not _BLANK.match(line):
            return None
    return None


def charset_of(name: str) -> str | None:
    """A character set as Python spells it; null for names of none, and for codecs that rewrite text."""
    try:
        found = codecs.lookup(name)
        "".encode(found.name)
        # Python read the cookie as ASCII, so the file is in no UTF-16, UTF-32 or EBCDIC.
        holds_ascii = _ASCII.decode(found.name) == _ASCII.decode()
    except (LookupError, ValueError):
        return None
    return found.name if holds_ascii and found.name.replace("-", "_") not in _NOT_CHARSETS else None
