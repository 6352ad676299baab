r"""Special tokens inside the text of a document, told apart from text that spells their names.

A source whose documents have a structure (comments of an issue, cells of a notebook) writes it into the text as
marks: U+FDD0, a code point that is no character and is meant for use inside one program, and the name of the special
token. Content that holds U+FDD0 itself gets U+FDD1 behind it, so nothing that anybody wrote is ever a mark:

    mark("<issue_start>") + escaped("Title: <issue_start> is printed\n") + mark("<issue_comment>") + escaped("why?")

Texts with marks are ordinary documents: they are annotated, redacted, compared and selected like any other. The
tokens stage splits them again (`minicode_assets/tokens/source_formats.py`).
"""

import re
from collections.abc import Iterable

from minicode_assets.errors import CorpusError

MARK = "\ufdd0"
"""What stands before the name of a special token."""
_LITERAL = "\ufdd0\ufdd1"
"""How U+FDD0 of the content is written."""
_SPLIT = re.compile(f"{MARK}(<[^<>\\s]+>)")


def mark(name: str) -> str:
    """A special token inside a text, e.g. `mark("<issue_comment>")`."""
    return MARK + name


def escaped(content: str) -> str:
    """Content as it stands beside marks: the same text but for U+FDD0."""
    return content.replace(MARK, _LITERAL)


def split_marks(text: str, *, where: str) -> tuple[str, ...]:
    """Content and names in turn: content, name, content, name, ..., content; the contents may be empty.

    Args:
        text: A text with marks.
        where: What messages call it, best its document id.

    Raises:
        CorpusError: U+FDD0 is followed by something else than a name or U+FDD1.
    """
    parts = _SPLIT.split(text)
    for number in range(0, len(parts), 2):
        contents = parts[number].replace(_LITERAL, "")
        if MARK in contents:
            raise CorpusError(
                f"document {where}: found U+FDD0 before {contents.partition(MARK)[2][:20]!r}, expected the name of a "
                "special token or U+FDD1",
                hint="the source writes its texts with minicode_assets.sources.marks: mark() and escaped()",
            )
        parts[number] = parts[number].replace(_LITERAL, MARK)
    return tuple(parts)


def join_marks(parts: Iterable[str]) -> str:
    """The inverse of `split_marks`: content, name, content, ... as one text."""
    return "".join(escaped(part) if number % 2 == 0 else mark(part) for number, part in enumerate(parts))
