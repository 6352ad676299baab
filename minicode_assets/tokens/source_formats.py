"""How the documents of each source become training text: the one place where a source is added.

A source is known by the `source` column of its documents (documents.source, corpus.source). Its entry in `FORMATS`
says three things:

- `context`: whether the documents of an origin stand together in one example, under the repository's name and with
  their paths (code), or each is an example of its own (everything else);
- `lead`: the special token that an example begins with, unless its text begins with a mark;
- `body`: a function from the document to its parts: text, special token, text, special token, ..., text.

To add a source whose texts have no inner structure, add a line with `PROSE`. Where they have one, the parser writes
marks into the text (`minicode_assets/sources/marks.py`), which the line with `MARKED` splits. Where special tokens
depend on chance, write a `body`: chance comes from `uniforms(count, seed, name, document_id)`. An example ends with
`<|endoftext|>`, added when it is packed.

Fill-in-the-middle rearranges bodies without inner special tokens; what has them is read in its own order. Every
example begins with a special token, so that the first token of text has a context, in training as in validation.
Source: StarCoder2's formats (curation.md 2.4 to 2.7).
"""

from collections.abc import Callable
from dataclasses import dataclass

from minicode_assets.errors import CorpusError
from minicode_assets.sources.marks import split_marks
from minicode_model.config import nearest

Parts = tuple[str, ...]
"""Text and names of special tokens in turn; an odd number, the texts may be empty."""
DEFAULT_LEAD = "<file_sep>"


@dataclass(frozen=True)
class SourceFormat:
    """The format of one source; see the module.

    Attributes:
        context: Documents of an origin stand together.
        lead: Special token before a body that begins with text.
        body: From (text, document id) to parts.
    """

    context: bool
    lead: str
    body: Callable[[str, str], Parts]

    def parts(self, text: str, document_id: str) -> Parts:
        """The body with its lead: the first text is empty and a special token follows."""
        parts = self.body(text, document_id)
        return parts if len(parts) > 1 and not parts[0] else ("", self.lead, *parts)


def plain(text: str, _document_id: str) -> Parts:
    """The text as it is; whatever it holds is text."""
    return (text,)


def marked(text: str, document_id: str) -> Parts:
    """The text split at its marks.

    Raises:
        CorpusError: A mark is broken.
    """
    return split_marks(text, where=document_id)


CODE = SourceFormat(True, DEFAULT_LEAD, plain)
"""Files of repositories."""
PROSE = SourceFormat(False, DEFAULT_LEAD, plain)
"""Texts that are examples of their own."""
MARKED = SourceFormat(False, DEFAULT_LEAD, marked)
"""Texts with marks."""

FORMATS: dict[str, SourceFormat] = {
    "swh": CODE,
    "issues": MARKED,
    "pull_requests": MARKED,
    "notebooks": MARKED,
    "notebook_scripts": SourceFormat(False, "<jupyter_script>", marked),
    "commits": MARKED,
    "stackoverflow": MARKED,
    "documentation": PROSE,
    "arxiv": PROSE,
    "markup": CODE,
    "swallow_code": CODE,
    "stack_v3": CODE,
    "stack_v2_ids": CODE,
    "python_edu": CODE,
    "openwebmath": PROSE,
    "wikipedia": PROSE,
    "gsm8k": PROSE,
    "code_contests": PROSE,
    "rosetta_code": PROSE,
    "lhq": PROSE,
    "mathematics": PROSE,
    "intermediate": MARKED,
}
"""Source to format."""


def format_of(source: str) -> SourceFormat:
    """The format of a source.

    Raises:
        CorpusError: There is none.
    """
    if source not in FORMATS:
        raise CorpusError(
            f"source {source!r} has no format{nearest(source, FORMATS)}",
            hint="add a line to FORMATS in minicode_assets/tokens/source_formats.py",
        )
    return FORMATS[source]
