"""Section of data formats and markup: the manifest's files that are neither Python nor documentation."""

import re
from dataclasses import dataclass

KINDS = {
    "json": (".json",),
    "yaml": (".yaml", ".yml"),
    "xml": (".xml",),
    "xslt": (".xsl", ".xslt"),
    "html": (".html", ".htm"),
}
"""Suffixes of the kinds that have rules of their own; any other kind is the suffix of its name."""
_KIND_BYTES = re.compile(r"\w+=[0-9]+")


@dataclass(frozen=True, kw_only=True)
class Markup:
    """Data formats and markup of the manifest, by StarCoder's filters (arXiv 2305.06161, 3.3).

    Checked against its published code and table of extensions (bigcode-dataset, preprocessing), which agree.
    """

    enabled: bool = False
    """Collect them."""
    kinds: tuple[str, ...] = ("json", "yaml", "html", "xml")
    """json, yaml, html, xml, xslt, or any suffix without its dot, e.g. toml, css, sh."""
    kind_bytes: tuple[str, ...] = ("json=8000000000", "yaml=8000000000", "xml=8000000000", "html=100000000000")
    """No more of a kind is fetched, a sample by id, the same whatever else is read; other kinds: `other_bytes`. Source:
    StarCoder2's mixture (curation.md 2.8). Unit: bytes of files."""
    other_bytes: int = 1_000_000_000
    """The same for kinds that `kind_bytes` leaves out. Source: StarCoder2. Unit: bytes of files."""
    max_file_bytes: int = 1_000_000
    """Longer files are dropped (`too_long`). Unit: bytes."""
    min_letter_fraction: float = 0.25
    """Letters among the characters; fewer drop a file (`letters`). Source: StarCoder's alpha filter."""
    xml_header_characters: int = 100
    """`<?xml version=` among the first so many drops what is no XML by name (`xml`). Source: StarCoder."""
    min_data_characters: int = 50
    """Shorter JSON and YAML is dropped (`short`). Source: StarCoder's paper; its code has 100 by default."""
    max_data_characters: int = 5_000
    """Longer JSON and YAML is dropped (`too_long`). Source: StarCoder."""
    min_data_letter_fraction: float = 0.5
    """The alpha filter for JSON and YAML. Source: StarCoder."""
    max_data_lines: int = 512
    """JSON and YAML of more lines is dropped (`too_long`). Source: StarCoder2 (curation.md 2.2)."""
    max_mean_line_characters: int = 100
    """YAML with longer lines is dropped (`lines`). Source: StarCoder."""
    max_line_characters: int = 1_000
    """YAML with a longer line is dropped (`lines`). Source: StarCoder."""
    min_visible_fraction: float = 0.2
    """HTML of which a reader sees less is dropped (`boilerplate`), 0..1 of the characters. Source: StarCoder,
    where white space between the words and the title count as seen."""
    min_visible_characters: int = 100
    """And so is HTML of which a reader sees fewer characters. Source: StarCoder."""
    block_bytes: int = 64_000_000
    """Text held in memory before it is written. Unit: bytes."""

    def suffixes(self, kind: str) -> tuple[str, ...]:
        """Ends of the names of a kind, in lower case."""
        return KINDS.get(kind, (f".{kind}",))

    def limit(self, kind: str) -> int:
        """Bytes of a kind's files at most."""
        limits = dict(value.split("=") for value in self.kind_bytes if _KIND_BYTES.fullmatch(value))
        return int(limits.get(kind, self.other_bytes))


def markup_problems(markup: Markup) -> list[str]:
    """What is wrong inside the section, one message each."""
    problems = [
        f"[markup] kind_bytes: found {value!r}, expected kind=bytes, e.g. 'json=8000000000'"
        for value in markup.kind_bytes
        if not _KIND_BYTES.fullmatch(value)
    ]
    problems += [
        f"[markup] kinds: found {kind!r}, expected letters and digits, without a dot"
        for kind in markup.kinds
        if not kind.isalnum()
    ]
    python = {"py", "pyi", "ipynb"} & set(markup.kinds)
    if python:
        problems.append(f"[markup] kinds: {', '.join(sorted(python))} have sources of their own")
    return problems
