"""Data formats and markup of the manifest as training text: as they are, by the filters that StarCoder has for them."""

from collections.abc import Iterable, Iterator

from minicode_assets.config.markup import Markup
from minicode_assets.sources.decode import decode
from minicode_assets.sources.document import Document
from minicode_assets.sources.manifest_files import ManifestFile

SOURCE = "markup"
_XML_KINDS = ("xml", "xslt")
_DATA_KINDS = ("json", "yaml")
_UNSEEN = frozenset({"script", "style", "head", "template", "noscript"})


def read_markup(files: Iterable[ManifestFile], params: Markup) -> Iterator[Document]:
    """A document for each file, in order, its text as it is.

    Statuses: those of the files, too_long, undecodable, nul, and those of `judge`.
    """
    for file in files:
        document = file.document(SOURCE)
        if file.status != "ok":
            yield document
        elif file.length > params.max_file_bytes:
            yield document.dropped("too_long")
        else:
            decoded = decode(file.content)
            text = decoded.text or ""
            status = judge(kind_of(file.path, params), text, params) if decoded.status == "ok" else decoded.status
            yield document.with_text(text, file.content).dropped(status)


def suffixes(params: Markup) -> tuple[str, ...]:
    """Ends of the names of all kinds."""
    return tuple(suffix for kind in params.kinds for suffix in params.suffixes(kind))


def kind_of(path: str, params: Markup) -> str:
    """The kind of a file by its name; empty for none of those that are wanted."""
    name = path.lower()
    return next((kind for kind in params.kinds if name.endswith(params.suffixes(kind))), "")


def judge(kind: str, text: str, params: Markup) -> str:
    """ok, or the first rule that drops a text: empty, xml, short, too_long, letters, lines, boilerplate."""
    if not text.strip():
        return "empty"
    if kind not in _XML_KINDS and "<?xml version=" in text[: params.xml_header_characters]:
        return "xml"
    if kind in _DATA_KINDS:
        return _judge_data(kind, text, params)
    if _letter_fraction(text) < params.min_letter_fraction:
        return "letters"
    if kind == "html":
        visible = num_visible_characters(text)
        if visible < params.min_visible_characters or visible < params.min_visible_fraction * len(text):
            return "boilerplate"
    return "ok"


def _judge_data(kind: str, text: str, params: Markup) -> str:
    if len(text) < params.min_data_characters:
        return "short"
    lines = text.splitlines()
    if len(text) > params.max_data_characters or len(lines) > params.max_data_lines:
        return "too_long"
    if _letter_fraction(text) < params.min_data_letter_fraction:
        return "letters"
    lengths = [len(line) for line in lines]
    is_long = sum(lengths) > params.max_mean_line_characters * len(lines) or max(lengths) > params.max_line_characters
    return "lines" if kind == "yaml" and is_long else "ok"


def _letter_fraction(text: str) -> float:
    return sum(map(str.isalpha, text)) / len(text)


def num_visible_characters(html: str) -> int:
    """Characters of a page that a reader sees: outside of scripts, styles and the head, white space as one space.

    By a parser that takes linear time whatever the page: html.parser takes minutes for a megabyte of `<!--`.
    """
    import lxml.etree
    import lxml.html

    parser = lxml.html.HTMLParser(huge_tree=True, encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        root = lxml.html.document_fromstring(html.encode(), parser=parser)
    except (lxml.etree.ParserError, lxml.etree.XMLSyntaxError):
        return 0
    hidden, total = None, 0
    for event, node in lxml.etree.iterwalk(root, events=("start", "end")):
        if event == "start" and hidden is None and node.tag in _UNSEEN:
            hidden = node
        elif event == "end" and node is hidden:
            hidden = None
        if hidden is None:
            shown = node.text if event == "start" else node.tail
            total += len(" ".join((shown or "").split()))
    return total
