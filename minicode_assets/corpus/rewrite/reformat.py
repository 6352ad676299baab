"""Reformatting by ruff, before and after rewriting (swallow-code's steps 1 and 5, curation.md 1c); off by default."""

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from minicode_assets.config import Reformat
from minicode_assets.corpus.annotate.sidecar import read_documents, read_sidecar, write_sidecar
from minicode_assets.corpus.annotate.syntax import parsing, syntax_of
from minicode_assets.errors import RewriteError
from minicode_assets.schemas import REDACT, REFORMAT
from minicode_model.artifact import Artifact

_FILES_A_CALL = 512


def format_texts(texts: Sequence[str], *, line_length: int) -> list[str | None]:
    """Each text as `ruff format` writes it; None where ruff can't parse it, or is ended by a text nested too deep.

    Args:
        texts: Any texts.
        line_length: Longest line that ruff aims at. Unit: characters.

    Raises:
        RewriteError: ruff is not installed, or fails for another reason than a text's syntax.
    """
    formatted: list[str | None] = []
    for start in range(0, len(texts), _FILES_A_CALL):
        formatted += _format(texts[start : start + _FILES_A_CALL], line_length)
    return formatted


def _format(texts: Sequence[str], line_length: int) -> list[str | None]:
    with tempfile.TemporaryDirectory(prefix="minicode-format-") as name:
        paths = [Path(name) / f"{number:05d}.py" for number in range(len(texts))]
        for path, text in zip(paths, texts, strict=True):
            path.write_text(text, newline="")
        done = subprocess.run(
            [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache",
             "--line-length", str(line_length), name],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode < 0:
            half = len(texts) // 2
            return [*_format(texts[:half], line_length), *_format(texts[half:], line_length)] if half else [None]
        if done.returncode not in (0, 2) or "No module named ruff" in done.stderr:
            raise RewriteError(
                f"ruff format ended with {done.returncode}: {done.stderr[-500:]}",
                hint="pip install -c constraints.txt -e '.[rewrite]'",
            )
        failed = {path.name for path in paths if f"{path.name}" in done.stderr}
        return [None if path.name in failed else path.read_bytes().decode() for path in paths]


def reformat_partition(
    documents: Path, before: Path, folder: Path, *, params: Reformat, config_digest: str
) -> Artifact:
    """After this, `folder` holds the texts as ruff formats them; the same as before where the step is off.

    A text that doesn't parse, or that would not after formatting, stays as it is.

    Args:
        documents: One partition of the documents.
        before: Its changed texts so far (schema REDACT).
        folder: The artefact folder of this partition.
        params: The `reformat` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema REFORMAT, the documents' rows in order, the changes before included. Metadata:
        num_formatted.

    Raises:
        RewriteError: ruff is not installed, or fails for another reason than a text's syntax.
        CorpusError, MissingArtifactError, CorruptArtifactError: An input is absent, damaged or out of step.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    changed = read_sidecar(before, REDACT, frame["document_id"])
    current = pl.select(pl.coalesce(changed["text"], frame["text"])).to_series()
    distinct = current.drop_nulls().unique(maintain_order=True).to_list() if params.enabled else []
    formatted = dict(zip(distinct, format_texts(distinct, line_length=params.line_length), strict=True))
    with parsing():
        new = [
            text if text != old and text is not None and not syntax_of(text).problem else None
            for old, text in ((old, formatted.get(old)) for old in current)
        ]
    return write_sidecar(
        folder,
        with_step(changed, new, "reformat"),
        REFORMAT,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents, "redact": before},
        metadata={"num_formatted": sum(text is not None for text in new)},
    )


def with_step(changed: pl.DataFrame, texts: Sequence[str | None], step: str) -> pl.DataFrame:
    """Changed texts (schema CHANGED_TEXTS) after one more step, which gives a text or None a row."""
    return changed.with_columns(
        pl.Series("text", [new or old for new, old in zip(texts, changed["text"], strict=True)], dtype=pl.String),
        pl.Series(
            "changes",
            [[*old, step] if new else list(old) for new, old in zip(texts, changed["changes"], strict=True)],
            dtype=pl.List(pl.String),
        ),
    )
