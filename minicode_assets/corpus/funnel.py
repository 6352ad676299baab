"""The funnel: how many documents each rule drops; and what happened to one document."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from minicode_assets.errors import CorpusError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import DECISIONS, FUNNEL
from minicode_assets.sources.swh import document_id
from minicode_model.artifact import open_artifact


def funnel(decisions: pl.DataFrame, steps: Sequence[str]) -> pl.DataFrame:
    """Count documents and bytes: all, then those that each rule drops, in order, then kept.

    Args:
        decisions: Schema DECISIONS.
        steps: Names of the rules in order; reasons beside them (`..._unmeasured`) follow, sorted.

    Returns:
        Schema FUNNEL. `num_first` adds up, over the rules, to all - kept.
    """
    reasons = decisions.select("length_bytes", pl.col("drop_reasons")).with_columns(
        first=pl.col("drop_reasons").list.first()
    )
    firsts = dict(reasons["first"].drop_nulls().value_counts().iter_rows())
    dropped = {
        reason: (count, size)
        for reason, count, size in reasons.explode("drop_reasons")
        .drop_nulls("drop_reasons")
        .group_by("drop_reasons")
        .agg(pl.len().cast(pl.Int64), pl.col("length_bytes").sum().alias("bytes"))
        .iter_rows()
    }
    order = [*steps, *sorted(set(dropped) - set(steps))]
    kept = decisions.filter("kept")
    rows = [
        ("all", decisions.height, int(decisions["length_bytes"].sum()), 0),
        *((step, *dropped.get(step, (0, 0)), firsts.get(step, 0)) for step in order),
        ("kept", kept.height, int(kept["length_bytes"].sum()), 0),
    ]
    return pl.DataFrame(rows, schema=FUNNEL.polars, orient="row")


def explain(corpus: Path, identifier: str) -> str:
    """What the selection decided about a document, one paragraph a document, for a person to read.

    Args:
        corpus: The corpus artefact.
        identifier: A document_id, a qualified SWHID, or a core SWHID of a content (which may be several documents).

    Raises:
        CorpusError: The corpus never saw such a document, or the identifier has another form.
        MissingArtifactError, CorruptArtifactError: The corpus is absent or differs from its manifest.
    """
    open_artifact(corpus, verify=False)
    decisions = scan_table(corpus, DECISIONS, pattern="decisions/*.parquet", verify=False)
    rows = decisions.filter(_matches(identifier)).sort("origin_url", "path", "document_id").collect()
    if not rows.height:
        raise CorpusError(
            f"{corpus}: no decision about {identifier}",
            hint="only Python files of the manifest are documents: minicode resolve shows the manifest",
        )
    return "\n\n".join(_paragraph(row) for row in rows.iter_rows(named=True))


def _matches(identifier: str) -> pl.Expr:
    if identifier.startswith("swh:1:cnt:"):
        core, _, qualifiers = identifier.partition(";")
        if qualifiers:
            return pl.col("document_id") == document_id(identifier)
        try:
            return pl.col("sha1_git") == bytes.fromhex(core.rpartition(":")[2])
        except ValueError:
            pass
    elif len(identifier) == 32:
        return pl.col("document_id") == identifier.lower()
    raise CorpusError(
        f"{identifier!r}: found no identifier of a document",
        hint="give a document_id (32 hex digits) or a SWHID: swh:1:cnt:<40 hex digits>[;origin=...]",
    )


def _paragraph(row: dict[str, object]) -> str:
    reasons = row["drop_reasons"]
    assert isinstance(reasons, list)
    assert isinstance(row["sha1_git"], bytes)
    outcome = f"kept, in {row['split']}" if row["kept"] else "dropped: " + ", ".join(reasons)
    return "\n".join(
        [
            f"document  {row['document_id']}",
            f"content   swh:1:cnt:{row['sha1_git'].hex()}",
            f"origin    {row['origin_url']}",
            f"path      {row['path']}",
            f"bytes     {row['length_bytes']}",
            f"outcome   {outcome}",
        ]
    )
