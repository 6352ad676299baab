"""Commits and tags as git stores them, read from their raw bytes. Source: git's documentation of its object format."""

import re

from minicode_assets.archive.graph import Release, Revision, Signature

_SIGNATURE = re.compile(rb"^(.*?) ?(-?\d+) ([+-])(\d{2,})(\d{2})$", re.DOTALL)
_MIN_SECONDS, _MAX_SECONDS = -62_135_596_800, 253_402_300_799
"""Years 1 to 9999; a date beyond is a broken clock, and no reader of the tables can hold it."""
_MAX_OFFSET_MINUTES = 32_767
TARGET_TYPES = {b"commit": "revision", b"tag": "release", b"tree": "directory", b"blob": "content"}
"""Software Heritage's name for each kind of git object."""


def parse_commit(body: bytes) -> Revision:
    """A commit's fields.

    Raises:
        ValueError: A header is absent or malformed.
    """
    headers, message = _split(body)
    return Revision(
        directory=_only_id(headers, b"tree"),
        parents=tuple(_identifier(value) for name, value in headers if name == b"parent"),
        author=parse_signature(_first(headers, b"author")),
        committer=parse_signature(_first(headers, b"committer")),
        type="git",
        message=message,
    )


def parse_tag(body: bytes) -> Release:
    """An annotated tag's fields.

    Raises:
        ValueError: A header is absent or malformed.
    """
    headers, message = _split(body)
    kind = _first(headers, b"type")
    if kind not in TARGET_TYPES:
        raise ValueError(f"type {kind!r} is unknown")
    taggers = [value for name, value in headers if name == b"tagger"]
    return Release(
        name=_first(headers, b"tag"),
        target=_only_id(headers, b"object"),
        target_type=TARGET_TYPES[kind],
        tagger=parse_signature(taggers[0]) if taggers else None,
        message=message,
    )


def parse_signature(line: bytes) -> Signature:
    """Person, date and offset of an author, committer or tagger line; what is malformed is None."""
    match = _SIGNATURE.match(line)
    if match is None:
        return Signature(line, None, None)
    person, seconds_text, sign, hours, minutes = match.groups()
    seconds = int(seconds_text)
    offset = (int(hours) * 60 + int(minutes)) * (-1 if sign == b"-" else 1)
    return Signature(
        person,
        seconds if _MIN_SECONDS <= seconds <= _MAX_SECONDS else None,
        offset if abs(offset) <= _MAX_OFFSET_MINUTES else None,
    )


def _split(body: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Header lines as (name, value), without the continuation lines of signatures; and the message."""
    head, _, message = body.partition(b"\n\n")
    pairs = [line.partition(b" ") for line in head.split(b"\n") if not line.startswith(b" ")]
    return [(name, value) for name, _, value in pairs], message


def _first(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    for name, value in headers:
        if name == wanted:
            return value
    raise ValueError(f"no header {wanted.decode()!r}")


def _only_id(headers: list[tuple[bytes, bytes]], wanted: bytes) -> bytes:
    return _identifier(_first(headers, wanted))


def _identifier(text: bytes) -> bytes:
    identifier = bytes.fromhex(text.decode("ascii", "replace"))
    if len(identifier) != 20:
        raise ValueError(f"{text!r} is no object id")
    return identifier
