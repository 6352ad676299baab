"""HTML pages as Markdown: the main text without navigation, by trafilatura, which StarCoder2 used too.

The character set is found as browsers do: byte order mark, then what the page declares, then UTF-8. What is none of
these and looks like text is Windows-1252, the default of the HTML standard.
"""

import codecs
import re
from typing import Any

from minicode_assets.sources.decode import Decoded, charset_of, decode, has_mark

_COMMENT = re.compile(rb"<!--.*?-->", re.DOTALL)
_DECLARED = re.compile(
    rb"""(?i)<meta\s[^>]{0,300}?charset\s{0,9}=\s{0,9}["']?\s{0,9}([\w:.-]{1,40})"""
    rb"""|^\s{0,99}<\?xml\s[^>]{0,100}?encoding\s{0,9}=\s{0,9}["']([\w:.-]{1,40})"""
)
_CONTROL = re.compile("[\x01-\x08\x0b\x0e-\x1f\ufffe\uffff]")
_HEAD_BYTES = 4096
"""Where a declaration is looked for; the HTML standard asks for it in the first 1,024 bytes."""
_WIDER = {
    "ascii": "cp1252", "iso8859-1": "cp1252", "iso8859-9": "cp1254", "iso8859-11": "cp874", "tis-620": "cp874",
    "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs",
}  # fmt: skip
"""Python's names of character sets that the web takes for a wider one. Source: Encoding standard, names and labels."""


def decode_page(content: bytes) -> Decoded:
    """The text of a page's bytes; status as `decode`."""
    declared = None if has_mark(content) else declared_charset(content)
    if declared:
        try:
            text = content.decode(declared)
        except UnicodeError:
            text = "\0"
        if "\0" not in text:
            return Decoded("ok", declared, text, "cookie")
    return decode(content, detect=("cp1252",))


def declared_charset(content: bytes) -> str | None:
    """What a page says of itself, as Python spells it; None without a declaration, and for UTF-16, which lies."""
    found = _DECLARED.search(_COMMENT.sub(b"", content[:_HEAD_BYTES]))
    if not found:
        return None
    named = charset_of((found[1] or found[2]).decode("ascii", "replace"))
    wider = _WIDER.get(named, named) if named else None
    return codecs.lookup(wider).name if wider else None


def page_text(content: bytes, *, max_elements: int) -> tuple[str, str]:
    """Status and main text of a page as Markdown; the text is empty where there is none.

    Args:
        content: The page.
        max_elements: Pages of more elements are `too_long`: trafilatura's time grows with the square of their number.

    Returns:
        Status: ok, undecodable, nul, too_long, or malformed (nested so deep that the parser drops the rest, or with a
        reference to a character that there is not).
    """
    import trafilatura

    decoded = decode_page(content)
    if decoded.text is None or not decoded.text.strip():
        return decoded.status, ""
    tree, is_whole = _parsed(_CONTROL.sub(" ", decoded.text))
    if tree is None or not is_whole:
        return ("ok" if is_whole else "malformed"), ""
    if sum(1 for _ in tree.iter()) > max_elements:
        return "too_long", ""
    try:
        found = trafilatura.extract(
            tree, output_format="markdown", include_comments=False, include_links=False, include_tables=True
        )
    except (ValueError, RecursionError):  # a reference to a control character, which no tree may be given
        return "malformed", ""
    return "ok", f"{found}\n" if found else ""


def _parsed(text: str) -> tuple[Any, bool]:
    """The tree of a page (None where there is none), and whether all of it was read."""
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(remove_comments=True, remove_pis=True, default_doctype=False, encoding="utf-8")
    try:
        tree = lxml.html.document_fromstring(text.encode("utf-8", "replace"), parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError):
        tree = None
    return tree, not any("depth" in problem.message for problem in parser.error_log)
