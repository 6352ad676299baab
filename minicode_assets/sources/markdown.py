"""HTML of posts as Markdown: code is kept as its author wrote it, blocks fenced, inline in back-ticks."""

import re
from collections.abc import Iterator
from typing import Any

_SPACE = re.compile(r"[ \t\r\n\f]+")
_LINE_START = re.compile(r"\n(?!\n)")
_LANGUAGE = re.compile(r"(?:^|\s)lang(?:uage)?-([\w+#-]+)")
_INLINE = {"strong": "**", "b": "**", "em": "*", "i": "*"}
_BREAK = "\x0b"
"""Stands for <br> until white space is collapsed; no XML and no HTML may hold it."""
_GONE = frozenset({"script", "style", "img", "svg"})
_BLOCKS = frozenset({
    "p", "div", "pre", "ul", "ol", "dl", "li", "dd", "dt", "blockquote", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
    "table", "body", "html", "section", "article",
})  # fmt: skip


def markdown_of(html: str) -> str:
    """The text of a fragment of HTML.

    Raises:
        ValueError: It holds NUL or other characters that no document may hold, nothing can be parsed, or elements are
            nested so deep that the parser drops the rest.
    """
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser()
    try:
        root = lxml.html.document_fromstring(f"<div>{html}</div>", parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError) as error:
        raise ValueError(str(error)) from error
    if any("depth" in problem.message for problem in parser.error_log):
        raise ValueError("nested too deep")
    return "\n\n".join(_blocks(root))


def _blocks(node: Any) -> list[str]:
    """The blocks inside an element, in order."""
    found: list[str] = []
    line = [node.text or ""]
    for child in node:
        if child.tag in _BLOCKS:
            found += _paragraph(line)
            found += _block(child)
            line = []
        else:
            line.append(_inline(child))
        line.append(child.tail or "")
    return found + _paragraph(line)


def _paragraph(line: list[str]) -> list[str]:
    """Text between blocks; new lines come from <br> only."""
    text = "\n".join(_SPACE.sub(" ", part).strip() for part in "".join(line).split(_BREAK)).strip()
    return [text] if text else []


def _block(node: Any) -> list[str]:
    """The blocks that one block element becomes."""
    if node.tag == "pre":
        return [_fenced(node)]
    if node.tag == "hr":
        return ["---"]
    if node.tag in ("ul", "ol"):
        return ["\n".join(_items(node))]
    if node.tag == "table":
        return ["\n".join(_rows(node))]
    inner = _blocks(node)
    if node.tag == "blockquote":
        return ["\n".join(f"> {line}".rstrip() for line in "\n\n".join(inner).split("\n"))] if inner else []
    if re.fullmatch("h[1-6]", node.tag) and inner:
        return [f"{'#' * int(node.tag[1])} {inner[0]}", *inner[1:]]
    return inner


def _items(node: Any) -> Iterator[str]:
    for number, item in enumerate((child for child in node if child.tag == "li"), start=1):
        lead = f"{number}. " if node.tag == "ol" else "- "
        yield lead + _LINE_START.sub("\n" + " " * len(lead), "\n\n".join(_blocks(item)))


def _rows(node: Any) -> Iterator[str]:
    for row in node.iter("tr"):
        yield "| " + " | ".join(" ".join(_blocks(cell)) for cell in row if cell.tag in ("td", "th")) + " |"


def _fenced(node: Any) -> str:
    """A block of code; the fence is longer than any in it."""
    code = "".join(node.itertext()).strip("\r\n").replace("\r\n", "\n")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", code)), default=0))
    kinds = " ".join([node.get("class") or "", *(child.get("class") or "" for child in node.iter("code"))])
    language = _LANGUAGE.search(kinds)
    return f"{fence}{language[1] if language else ''}\n{code}\n{fence}"


def _inline(node: Any) -> str:
    """An element within a line; comments and pictures are nothing."""
    if not isinstance(node.tag, str) or node.tag in _GONE:
        return ""
    if node.tag == "br":
        return _BREAK
    if node.tag in ("code", "kbd", "tt"):
        code = _SPACE.sub(" ", "".join(node.itertext()))
        tick = "`" * (1 + max((len(run) for run in re.findall("`+", code)), default=0))
        return f"{tick}{code}{tick}" if code.strip() else ""
    inner = (node.text or "") + "".join(_inline(child) + (child.tail or "") for child in node)
    around = _INLINE.get(node.tag, "")
    return f"{around}{inner}{around}" if inner.strip() else inner
