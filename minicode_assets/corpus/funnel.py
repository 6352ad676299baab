"""The funnel: how many documents each rule drops and how many are left; and samples of them to look at."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl

from minicode_assets.corpus.annotate.sidecar import read_documents
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import DECISIONS, FUNNEL
from minicode_model.config import nearest

KEPT = "kept"


def funnel(decisions: pl.DataFrame, steps: Sequence[str], *, bytes_per_token: float) -> pl.DataFrame:
    """Count documents and bytes: all, then those that each rule drops, in order, then kept.

    Args:
        decisions: Schema DECISIONS.
        steps: Names of the rules in order; reasons beside them (`..._unmeasured`) follow, sorted.
        bytes_per_token: What the estimate of tokens assumes.

    Returns:
        Schema FUNNEL. `num_first` adds up, over the rules, to all - kept.
    """
    reasons = decisions.select("length_bytes", "drop_reasons", step=pl.col("drop_reasons").list.first())
    size = pl.col("length_bytes").sum()
    dropped = (
        reasons.drop("step")
        .explode("drop_reasons")
        .drop_nulls("drop_reasons")
        .group_by(step="drop_reasons")
        .agg(num_documents=pl.len().cast(pl.Int64), length_bytes=size)
    )
    first = reasons.drop_nulls("step").group_by("step").agg(num_first=pl.len().cast(pl.Int64), bytes_first=size)
    order = [*steps, *sorted(set(dropped["step"]) - set(steps))]
    kept = decisions.filter("kept")
    rules = pl.DataFrame({"step": order}, schema={"step": pl.String})
    whole = pl.DataFrame(
        [("all", decisions.height, int(decisions["length_bytes"].sum()), 0, 0)],
        schema={**dropped.schema, "num_first": pl.Int64, "bytes_first": pl.Int64}, orient="row",
    )  # fmt: skip
    counted = rules.join(dropped, on="step", how="left", maintain_order="left").join(
        first, on="step", how="left", maintain_order="left"
    )
    last = whole.with_columns(
        step=pl.lit(KEPT), num_documents=pl.lit(kept.height, pl.Int64),
        length_bytes=pl.lit(int(kept["length_bytes"].sum()), pl.Int64),
    )  # fmt: skip
    return _with_rest(pl.concat([whole, counted.fill_null(0), last]), bytes_per_token)


def _with_rest(steps: pl.DataFrame, bytes_per_token: float) -> pl.DataFrame:
    """Add what is left after each step."""
    return steps.with_columns(
        num_left=pl.col("num_documents").first() - pl.col("num_first").cum_sum(),
        bytes_left=pl.col("length_bytes").first() - pl.col("bytes_first").cum_sum(),
    ).with_columns(tokens_left=(pl.col("bytes_left") / bytes_per_token).round().cast(pl.Int64)).select(
        FUNNEL.polars.names()
    )  # fmt: skip


def sample_decisions(corpus: Path, reason: str, *, count: int) -> pl.DataFrame:
    """Some documents that a rule dropped, or that were kept: the first by document_id, which is a fair sample.

    Args:
        corpus: The corpus artefact.
        reason: A step of the funnel, or `kept`.
        count: How many, at most.

    Returns:
        Schema DECISIONS.

    Raises:
        CorpusError: The funnel has no such step.
        MissingArtifactError, CorruptArtifactError: The corpus is absent or differs from its manifest.
    """
    steps = (
        scan_table(corpus, FUNNEL, pattern="funnel.parquet", verify=False).select("step").collect()["step"].to_list()
    )
    if reason not in steps[1:]:
        raise CorpusError(f"step {reason!r} is unknown{nearest(reason, steps[1:])}", hint="minicode funnel")
    decisions = scan_table(corpus, DECISIONS, pattern="decisions/*.parquet", verify=False)
    chosen = pl.col("kept") if reason == KEPT else pl.col("drop_reasons").list.contains(reason)
    return decisions.filter(chosen).sort("document_id").head(count).collect()


def samples(corpus: Path, documents: Sequence[Path], reason: str, *, count: int) -> pl.DataFrame:
    """The same with `swhid` and `text`, read from the documents: the corpus keeps no text that it dropped."""
    chosen = sample_decisions(corpus, reason, count=count)
    wanted = chosen.select("document_id")
    texts = [
        read_documents(path, ["document_id", "swhid", "text"]).join(wanted, on="document_id", how="semi")
        for path in documents
    ]
    return chosen.join(pl.concat(texts), on="document_id", how="left", maintain_order="left")
