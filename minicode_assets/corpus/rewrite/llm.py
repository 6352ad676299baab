"""Scores and rewritten texts by a language model; off by default.

What it gives must parse and be the same program, and pass the rules for personal data, benchmarks and malware.

Source: swallow-code v2's order (format, length, score, rewrite, format), curation.md 1c. The redacted text goes to
the model; the document keeps its SWHID, and the corpus its parent's digest.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config import LlmRewrite
from minicode_assets.corpus.annotate.sidecar import check_rows, read_documents, read_sidecar
from minicode_assets.corpus.annotate.syntax import parsing, syntax_of
from minicode_assets.corpus.rewrite.answers import AXES, messages_of, read_code, read_scores
from minicode_assets.corpus.rewrite.client import Answers, NoAnswer, ask_all
from minicode_assets.corpus.rewrite.recheck import Recheck, recheck
from minicode_assets.corpus.rewrite.reformat import format_texts, with_step
from minicode_assets.errors import RewriteError
from minicode_assets.parquet import write_parquet
from minicode_assets.schemas import LLM_REWRITE, LLM_SCORES, REFORMAT
from minicode_model.artifact import Artifact, open_artifact, write_artifact

SCORES = "scores/part-00000.parquet"
"""The table of scores inside the artefact, schema LLM_SCORES."""


@dataclasses.dataclass
class Row:
    """What becomes of one text: a row of LLM_SCORES, and the new text."""

    status: str
    scores: dict[str, int] = dataclasses.field(default_factory=dict)
    problem: str | None = None
    text: str | None = None
    redacted: bool = False

    @property
    def score_fraction(self) -> float | None:
        """Mean of the scores, 0..1."""
        return sum(self.scores.values()) / (10 * len(self.scores)) if self.scores else None


def rewrite_partition(
    documents: Path,
    before: Path,
    folder: Path,
    *,
    cache: Path,
    line_length: int,
    params: LlmRewrite,
    rules: Recheck,
    config_digest: str,
) -> Artifact:
    """After this, `folder` holds the texts that a language model rewrote, and its scores.

    Args:
        documents: One partition of the documents.
        before: Its changed texts so far (schema REFORMAT).
        folder: The artefact folder of this partition.
        cache: Where answers are kept between runs; no artefact.
        line_length: For ruff, which formats what the model wrote. Unit: characters.
        params: The `llm_rewrite` section.
        rules: What a new text has to pass.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact: part-00000.parquet with schema LLM_REWRITE, the documents' rows in order, the changes before
        included; and SCORES. Metadata: num_rows, and the number of each status.

    Raises:
        RewriteError: More than max_failed_fraction of the requests got no answer; the endpoint refuses the key.
        CorpusError, MissingArtifactError, CorruptArtifactError: An input is absent, damaged or out of step.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    changed = read_sidecar(before, REFORMAT, frame["document_id"])
    current = pl.select(pl.coalesce(changed["text"], frame["text"])).to_series()
    distinct = current.drop_nulls().unique(maintain_order=True).to_list()
    rewritten = asyncio.run(_rewrite(distinct, Answers(cache), line_length, params))
    _recheck(rewritten, rules)
    rows = dict(zip(distinct, rewritten, strict=True))
    found = [None if text is None else rows[text] for text in current]
    sidecar = with_step(changed, [row.text if row else None for row in found], "llm_rewrite")
    sidecar = with_step(sidecar, [row.text if row and row.redacted else None for row in found], "redact_rewrite")
    check_rows(sidecar, frame["document_id"], where=str(folder), name=LLM_REWRITE.name)
    scores = pl.DataFrame(
        [_score_row(name, row) for name, row in zip(frame["document_id"], found, strict=True)],
        schema=LLM_SCORES.polars,
        orient="row",
    )
    folders = {"documents": documents, "reformat": before, "benchmarks": rules.benchmarks}
    inputs = {name: open_artifact(path, verify=False).digest for name, path in folders.items()}
    with write_artifact(folder, name=LLM_REWRITE.name, config_digest=config_digest, inputs=inputs) as writer:
        (writer.path / SCORES).parent.mkdir()
        write_parquet(sidecar, writer.path / "part-00000.parquet", LLM_REWRITE)
        write_parquet(scores, writer.path / SCORES, LLM_SCORES)
        statuses = scores["llm_status"].drop_nulls().value_counts()
        writer.metadata = {
            "num_rows": sidecar.height,
            **{f"num_{status}": count for status, count in statuses.iter_rows()},
        }
    return open_artifact(folder, verify=False)


def _score_row(document_id: str, row: Row | None) -> tuple[Any, ...]:
    if row is None:
        return (document_id, *[None] * (len(LLM_SCORES.columns) - 1))
    return document_id, row.status, row.score_fraction, *(row.scores.get(axis) for axis in AXES), row.problem


async def _rewrite(texts: Sequence[str], answers: Answers, line_length: int, params: LlmRewrite) -> list[Row]:
    """Score all texts of the right length, then rewrite those that score well enough."""
    if not params.enabled:
        return [Row("off") for _ in texts]
    with parsing():
        rows = [_fitness(text, params) for text in texts]
    await _ask_for("score", texts, rows, "asked", _take_scores, answers, params)
    for row in rows:
        if row.status == "scored" and (row.score_fraction or 0) >= params.min_score_fraction and params.rewrite:
            row.status = "to_rewrite"

    def take_code(row: Row, text: str, answer: str) -> None:
        code = read_code(
            answer, text, max_growth=params.max_growth, min_kept_names_fraction=params.min_kept_names_fraction
        )
        row.text, row.status = code, "rewritten"

    await _ask_for("rewrite", texts, rows, "to_rewrite", take_code, answers, params)
    _format(rows, line_length)
    return rows


def _fitness(text: str, params: LlmRewrite) -> Row:
    if not params.min_characters <= len(text) <= params.max_characters:
        return Row("length")
    return Row("unparsable") if syntax_of(text).problem else Row("asked")


def _take_scores(row: Row, text: str, answer: str) -> None:
    row.scores, row.status = read_scores(answer), "scored"


async def _ask_for(
    task: str, texts: Sequence[str], rows: Sequence[Row], status: str, take: Callable[[Row, str, str], None],
    answers: Answers, params: LlmRewrite,
) -> None:  # fmt: skip
    """Ask about the rows of one status; an unbelievable answer makes them `rejected`, none `failed`."""
    asked = [(row, text) for row, text in zip(rows, texts, strict=True) if row.status == status]
    replies = await ask_all([messages_of(task, text) for _, text in asked], answers, params=params)
    for (row, text), reply in zip(asked, replies, strict=True):
        if isinstance(reply, NoAnswer):
            row.status, row.problem = "failed", f"{task}: {reply}"
            continue
        try:
            take(row, text, reply)
        except ValueError as error:
            row.status, row.problem = "rejected", f"{task}: {error}"
    failed = [row.problem for row, _ in asked if row.status == "failed"]
    if len(failed) > params.max_failed_fraction * max(len(asked), 1):
        raise RewriteError(
            f"{params.base_url}: {len(failed)} of {len(asked)} requests got no answer; the first: {failed[0]}",
            hint="see to the endpoint and run again: answers so far are kept",
        )


def _format(rows: Sequence[Row], line_length: int) -> None:
    rewritten = [row for row in rows if row.text]
    formatted = format_texts([row.text or "" for row in rewritten], line_length=line_length)
    for row, text in zip(rewritten, formatted, strict=True):
        row.text = text or row.text


def _recheck(rows: Sequence[Row], rules: Recheck) -> None:
    """A text that may not be kept is `rejected`, so the text before stays."""
    rewritten = [row for row in rows if row.text]
    if not rewritten:
        return
    for row, verdict in zip(rewritten, recheck([row.text or "" for row in rewritten], rules), strict=True):
        row.text, row.redacted = verdict.text, verdict.redacted
        if verdict.problem:
            row.status, row.problem = "rejected", f"rewrite: {verdict.problem}"
