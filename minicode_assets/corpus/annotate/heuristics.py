"""The heuristics sidecar: measures of each document's lines, characters, words, comments and syntax.

Nothing is dropped here; thresholds live in the `corpus` section. Sources: StarCoder2's filters (curation.md 2.2) and
OpenCoder's rules (curation.md 1b), the latter's substring tests rewritten on tokens and syntax trees: `pass` is a
statement and not part of `password`, `async def` is a function, and nothing is left to chance.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from minicode_assets.config import Annotators, Heuristics
from minicode_assets.corpus.annotate.characters import count_characters
from minicode_assets.corpus.annotate.encoded import count_hex_words, encoded_runs
from minicode_assets.corpus.annotate.lexer import Lexemes, measure_lexemes
from minicode_assets.corpus.annotate.sidecar import read_documents, write_sidecar
from minicode_assets.corpus.annotate.syntax import Syntax, syntax_of
from minicode_assets.corpus.annotate.words import Lines, count_lines, count_words
from minicode_assets.corpus.annotate.workers import Row, map_rows
from minicode_assets.schemas import HEURISTICS
from minicode_model.artifact import Artifact

_PROGRESS_S = 5.0
logger = logging.getLogger("minicode.heuristics")

Measures = dict[str, int | float | None]


def annotate(
    documents: Path, folder: Path, *, params: Heuristics, config_digest: str, workers: Annotators | None = None
) -> Artifact:
    """After this, `folder` holds the measures of each document.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        params: The `heuristics` section.
        config_digest: Digest of the sections that shape the asset.
        workers: The `annotators` section; None for this process alone.

    Returns:
        The artefact; schema HEURISTICS, the documents' rows in order; every measure is null without text, those of
        the syntax tree also when the text doesn't parse. Metadata: num_measured.

    Raises:
        MissingArtifactError, CorruptArtifactError: `documents` is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    distinct = frame.filter(pl.col("text").is_not_null()).unique("text", keep="first", maintain_order=True)
    rows = list(_measure_all(distinct["text"], params, workers))
    columns = {name: dtype for name, dtype in HEURISTICS.polars.items() if name != "document_id"}
    measured = pl.DataFrame(rows, schema=columns).with_columns(distinct["text"])
    sidecar = frame.join(measured, on="text", how="left", maintain_order="left").select(HEURISTICS.polars.names())
    return write_sidecar(
        folder,
        sidecar,
        HEURISTICS,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents},
        metadata={"num_measured": sidecar["num_lines"].drop_nulls().len()},
    )


def _measure_all(texts: pl.Series, params: Heuristics, workers: Annotators | None) -> Iterator[Measures]:
    spoken = time.monotonic()
    rows = [(text,) for text in texts]
    for number, measures in enumerate(map_rows(measure_rows, rows, params, workers=workers), 1):
        yield measures
        if time.monotonic() - spoken > _PROGRESS_S:
            spoken = time.monotonic()
            logger.info("%d of %d texts", number, texts.len())


def measure_rows(rows: Sequence[Row], params: Heuristics) -> list[Measures]:
    """The measures of some texts, one a row."""
    return [measure(text, params=params) for (text,) in rows]


def measure(text: str, *, params: Heuristics) -> Measures:
    """All measures of one text, by column name.

    Args:
        text: The text.
        params: The `heuristics` section.
    """
    lines, syntax = count_lines(text), syntax_of(text)
    lexemes = measure_lexemes(
        text, long_word_length=params.long_word_length, long_string_words=params.long_string_words
    )
    return {
        **_character_measures(text, lines, lexemes),
        **_word_measures(text, params),
        **_lexical_measures(text, lexemes, syntax),
        **_syntax_measures(text, lines, lexemes, syntax),
    }


def _character_measures(text: str, lines: Lines, lexemes: Lexemes) -> Measures:
    count = count_characters(text)
    num_characters = max(count.num_characters, 1)
    encoded, longest = encoded_runs(text)
    return {
        "num_characters": count.num_characters,
        "num_lines": count.num_lines,
        "mean_line_length": count.line_characters / max(count.num_lines, 1),
        "max_line_length": count.max_line_length,
        "alphabetic_fraction": count.alphabetic / num_characters,
        "alphanumeric_fraction": count.alphanumeric / num_characters,
        "digit_fraction": count.digits / num_characters,
        "whitespace_fraction": count.whitespace / num_characters,
        "replacement_fraction": 0.0 if text.isascii() else text.count("\ufffd") / num_characters,
        "encoded_fraction": encoded / num_characters,
        "encoded_span": longest,
        "duplicate_line_fraction": lines.duplicate_fraction,
        "repeated_line_fraction": lines.repeated_fraction,
        "todo_line_fraction": lexemes.num_todos / max(count.num_lines, 1),
    }


def _word_measures(text: str, params: Heuristics) -> Measures:
    words = count_words(text, long_word_length=params.long_word_length)
    top, duplicate = words.top_ngram_fractions, words.duplicate_ngram_fractions
    return {
        "num_words": words.num_words,
        "mean_word_length": words.mean_word_length,
        "long_word_fraction": words.long_word_fraction,
        "hex_word_fraction": min(1.0, count_hex_words(text) / max(words.num_words, 1)),
        "top_2gram_fraction": top[0],
        "top_3gram_fraction": top[1],
        "top_4gram_fraction": top[2],
        "duplicate_5gram_fraction": duplicate[0],
        "duplicate_6gram_fraction": duplicate[1],
        "duplicate_10gram_fraction": duplicate[2],
    }


def _lexical_measures(text: str, lexemes: Lexemes, syntax: Syntax) -> Measures:
    """Comments and string literals: all of them, and those of the code proper, without comments and docstrings."""
    size, total = max(len(text), 1), lexemes.string_characters
    documentation = min(total, syntax.docstring_characters + _QUOTES * syntax.num_docstrings)
    code = len(text) - lexemes.comment_characters - documentation
    return {
        "comment_fraction": lexemes.comment_characters / size,
        "string_fraction": total / size,
        "code_string_fraction": (total - documentation) / max(code, 1),
        "long_string_word_fraction": min(1.0, lexemes.long_string_word_characters / size),
        "num_long_string_lines": lexemes.num_long_string_lines,
    }


def _syntax_measures(text: str, lines: Lines, lexemes: Lexemes, syntax: Syntax) -> Measures:
    """Null counts when the text doesn't parse."""
    if syntax.problem:
        return dict.fromkeys(("docstring_fraction", "data_fraction", "num_code_lines", *_COUNTS))
    # An escape makes a docstring's value shorter or longer than its source, so the share is bounded.
    docstring_fraction = min(1.0, syntax.docstring_characters / max(len(text), 1))
    num_code_lines = max(0, lines.num_filled - lexemes.num_comment_lines - syntax.docstring_lines)
    return {
        "docstring_fraction": docstring_fraction,
        "data_fraction": syntax.data_characters / max(len(text), 1),
        "num_code_lines": num_code_lines,
        **{name: getattr(syntax, name) for name in _COUNTS},
    }


_COUNTS = (
    "num_functions",
    "num_classes",
    "num_imports",
    "num_asserts",
    "num_passes",
    "num_prints",
    "num_variables",
    "num_branches",
    "num_calls",
    "num_simple_returns",
    "num_returns",
    "num_class_variables",
    "num_stubs",
)
_QUOTES = 6
"""Quotes of a docstring, which its value leaves out. Unit: characters."""
