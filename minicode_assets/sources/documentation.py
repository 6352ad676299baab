"""Documentation of installed packages and local folders: Markdown, reStructuredText, HTML, long descriptions.

Markdown and reStructuredText stay as their authors wrote them; of HTML the main text is kept (html_pages.py).
"""

import email.parser
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from minicode_assets.archive.files import size_of
from minicode_assets.config.sources import DOCUMENTATION_SUFFIXES, Documentation
from minicode_assets.sources.decode import decode
from minicode_assets.sources.document import Document
from minicode_assets.sources.files import LICENSE_FILE, METADATA, PASSED_OVER, Licensing, Origin, listing, origins
from minicode_assets.sources.html_pages import page_text
from minicode_assets.sources.manifest_files import Manifest, manifest_files
from minicode_assets.sources.prose import judge_prose
from minicode_model.artifact import digest_of

FORMAT = 2
"""Raise when the same files give other texts."""
_NOT_PROSE = re.compile(r"(?i)^(?:authors|contributors|changelog|changes|history|news|notice|thanks|genindex|search)\b")
"""Names of files that are lists. Index pages of HTML documentation are navigation."""


@dataclass(frozen=True)
class Page:
    """One file as text.

    Attributes:
        text: The text; empty where nothing was found.
        status: ok, or why there is none: undecodable, nul, malformed, too_long.
        suffix: What kind of text it is.
    """

    text: str
    status: str
    suffix: str


def read_documentation(params: Documentation, *, licensing: Licensing) -> Iterator[Document]:
    """Documents of all distributions and folders, by name and path.

    Statuses: too_long, undecodable, empty, and those of `judge_prose`.

    Raises:
        ArchiveError, SourceError: As `files.origins`.
    """
    taken = 0
    for origin in origins(params.distributions, params.folders):
        license_expression = origin.license(licensing)
        for path, place in origin.chosen(is_wanted).items():
            document = replace(read_page(origin, path, place, params), license=license_expression)
            taken += len(document.text) if document.status == "ok" else 0
            if taken > params.max_total_bytes:
                return
            yield document


def fingerprint(params: Documentation) -> str:
    """Digest (hex) of the files that would be read: names and sizes."""
    return digest_of([FORMAT, listing(origins(params.distributions, params.folders), is_wanted)])


def is_wanted(path: str) -> bool:
    """Documentation by name: no licence texts, changelogs or lists of people."""
    name = path.rpartition("/")[2]
    if path.endswith(f".dist-info/{METADATA}"):
        return True
    return name.lower().endswith(DOCUMENTATION_SUFFIXES) and not LICENSE_FILE.match(name) and not _NOT_PROSE.match(name)


def read_page(origin: Origin, path: str, place: Path, params: Documentation) -> Document:
    """One file as a document, or the rule that drops it."""
    document = Document(
        source="documentation", record_id=f"{origin.url}/{path}", origin_url=origin.url, path=path, text=""
    )
    if size_of(place) > params.max_file_bytes:
        return document.dropped("too_long")
    content = place.read_bytes()
    page = judged(long_description(content) if path.endswith(METADATA) else page_of(content, path, params), params)
    shown = re.sub(rf"{METADATA}$", f"DESCRIPTION{page.suffix}", path)
    return replace(document, path=shown, text=page.text, status=page.status, content=content)


def read_manifest(manifest: Manifest, params: Documentation) -> Iterator[Document]:
    """Documentation of the repositories of the manifest, by content; statuses as in `read_documentation`."""
    for file in manifest_files(manifest, DOCUMENTATION_SUFFIXES, is_documentation):
        document = file.document("documentation")
        if file.status == "ok" and file.length > params.max_file_bytes:
            document = document.dropped("too_long")
        elif file.status == "ok":
            page = judged(page_of(file.content, file.path, params), params)
            document = replace(document, text=page.text, status=page.status)
        yield document


def is_documentation(path: str) -> bool:
    """Documentation by name, outside of third-party folders."""
    return is_wanted(path) and PASSED_OVER.isdisjoint(path.split("/")[:-1])


def judged(page: Page, params: Documentation) -> Page:
    """The page with what the rules of prose say of it."""
    if page.status != "ok":
        return page
    return replace(page, status=judge_prose(page.text, params) if page.text.strip() else "empty")


def page_of(content: bytes, path: str, params: Documentation) -> Page:
    """The text of a Markdown, reStructuredText or HTML file."""
    suffix = "." + path.rpartition(".")[2].lower()
    if suffix in (".html", ".htm"):
        status, text = page_text(content, max_elements=params.max_page_elements)
        return Page(text, status, ".md")
    decoded = decode(content)
    return Page(decoded.text or "", decoded.status, suffix)


def long_description(content: bytes) -> Page:
    """The project's page in package metadata. Source: core metadata specification."""
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    kind = email.parser.BytesHeaderParser().parsebytes(head).get("Description-Content-Type", "")
    suffix = ".md" if str(kind).partition(";")[0].strip() == "text/markdown" else ".rst"
    decoded = decode(body)
    return Page(decoded.text or "", decoded.status, suffix)
