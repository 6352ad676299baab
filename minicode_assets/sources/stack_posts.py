"""Posts of a Stack Exchange dump (`Posts.xml`): streamed, an element at a time, and resumed at a byte.

No `<` stands inside an attribute, so the bytes are cut at each one and every `<row .../>` is parsed by itself: memory
is bounded by a row, and a row that is broken costs that row. Rules for bad input: a document type declaration, with
which entity bombs begin, another root element, an encoding other than UTF-8 and a file without its closing tag stop the
run; a row that can't be parsed or lacks what a post needs, and one that is too long, are counted. Source:
software_heritage.md 6.
"""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers import expat

from minicode_assets.config.dumps import StackPosts
from minicode_assets.errors import SourceError
from minicode_assets.sources.document import whole_number
from minicode_assets.sources.dump import unpacked
from minicode_assets.sources.markdown import markdown_of
from minicode_assets.sources.rows import Place, split_lines

MEMBER = "Posts.xml"
"""Of an archive: all sites but Stack Overflow have their tables in one."""
QUESTION, ANSWER = "1", "2"
_LICENSE = re.compile(r"CC BY-SA (\d\.\d)")
_ENCODING = re.compile(rb"""encoding\s*=\s*["']([^"']+)""")


class Post(NamedTuple):
    """A row of STACK_POSTS, and the place behind it."""

    values: dict[str, Any]
    after: Place

    def row(self) -> dict[str, Any]:
        """The row."""
        return self.values


def site_of(name: str, params: StackPosts) -> str:
    """The site of a file: what stands before `-Posts` or `.7z` in its name, e.g. stackoverflow.com; else `site`."""
    named = re.sub(r"(?:-?Posts)?(?:\.7z|\.xml|\.xml\.gz)$", "", name)
    return named if "." in named else params.site


def read_posts(path: Path, start: Place, params: StackPosts, count: Callable[[str], None]) -> Iterator[Post]:
    """The questions and answers of a file, from a place on.

    Args:
        path: `Posts.xml`, plain or packed.
        start: Where to begin.
        params: The section.
        count: Told of each row that is left out: other_type, planted, malformed, too_long.

    Raises:
        SourceError: It is no dump of posts, declares a document type, or ends early.
    """
    site = site_of(path.name, params)
    offset, number, is_begun, is_ended = start.offset, start.row, start.offset > 0, False
    for piece, taken in split_lines(unpacked(path, start.offset, member=MEMBER), params.max_row_bytes, b"<"):
        offset += taken
        if piece is None:
            count("too_long")
            continue
        if not is_begun:
            is_begun = check_head(path, piece)
        elif piece.startswith(b"row"):
            if taken == len(piece):
                break
            number += 1
            if values := post_of(b"<" + piece, site, params, count):
                yield Post(values, Place(offset, number))
        else:
            is_ended = is_ended or check_other(path, piece)
    if not is_ended:
        raise SourceError(f"{path}: ends at byte {offset} without </posts>", hint="it is incomplete: fetch it again")


def check_head(path: Path, piece: bytes) -> bool:
    """Whether the root element began; raises SourceError where the file is something else."""
    name = piece.removeprefix(b"\xef\xbb\xbf").strip()
    if name.startswith(b"?xml"):
        encoding = _ENCODING.search(name)
        if encoding and encoding[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
            raise SourceError(f"{path}: encoding {encoding[1].decode(errors='replace')}, expected utf-8", hint=_DUMP)
    elif name.startswith(b"!"):
        check_other(path, name)
    elif name:
        if not re.match(rb"posts[\s>]", name):
            raise SourceError(f"{path}: begins with {name[:40]!r}, expected <posts>", hint=_DUMP)
        return True
    return False


_DUMP = "give the dump's Posts.xml (not Comments.xml or another table)"


def check_other(path: Path, piece: bytes) -> bool:
    """Whether the root element ends; raises SourceError for a document type declaration."""
    if piece.startswith((b"!DOCTYPE", b"!ENTITY")):
        raise SourceError(
            f"{path}: declares a document type ({piece[:40]!r}), which no dump does and entity bombs need",
            hint="this is not the published file: fetch it again from archive.org/details/stackexchange",
        )
    return piece.startswith(b"/posts>")


def post_of(element: bytes, site: str, params: StackPosts, count: Callable[[str], None]) -> dict[str, Any] | None:
    """The row of a post; None with its reason counted where there is none."""
    try:
        raw = attributes(element)
        post_id, kind = whole_number(raw["Id"]), raw["PostTypeId"]
        if kind not in (QUESTION, ANSWER) or post_id >= params.planted_from_id:
            count("planted" if kind in (QUESTION, ANSWER) else "other_type")
            return None
        text = markdown_of(raw["Body"])
        return _row(raw, site, post_id, text)
    except (expat.ExpatError, ValueError, KeyError, OverflowError, RecursionError):
        count("malformed")
        return None


def attributes(element: bytes) -> dict[str, str]:
    """The attributes of an empty element. Raises ExpatError where it is not well-formed, or names an entity."""
    parser = expat.ParserCreate("utf-8")
    found: dict[str, str] = {}
    parser.StartElementHandler = lambda _, named: found.update(named)
    parser.Parse(element, True)
    return found


def _row(raw: dict[str, str], site: str, post_id: int, text: str) -> dict[str, Any]:
    is_question = raw["PostTypeId"] == QUESTION
    thread = f"{site}/questions/{post_id if is_question else int(raw['ParentId'])}"
    license_name = _LICENSE.search(raw.get("ContentLicense", ""))
    return {
        "thread": thread,
        "bucket": blake2b(thread.encode(), digest_size=1).digest()[0],
        "site": site,
        "post_id": post_id,
        "is_question": is_question,
        "score": whole_number(raw.get("Score", 0)),
        "accepted_id": whole_number(raw["AcceptedAnswerId"]) if is_question and raw.get("AcceptedAnswerId") else None,
        "title": raw["Title"].strip() if is_question else None,
        "owner": raw.get("OwnerUserId") or raw.get("OwnerDisplayName"),
        "date": datetime.fromisoformat(raw["CreationDate"]).replace(tzinfo=UTC),
        "license": f"CC-BY-SA-{license_name[1]}" if license_name else None,
        "text": text,
        "length_bytes": len(text.encode("utf-8", "replace")),
        "status": "ok",
    }
