"""The order in which documents are preferred to one another, over all partitions: who represents near duplicates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.config import NearDup
from minicode_assets.corpus.annotate.exact_dup import preference
from minicode_assets.corpus.annotate.origin_facts import with_origin_facts
from minicode_assets.corpus.annotate.sidecar import check_rows, read_documents, read_sidecar
from minicode_assets.corpus.shingles import Numbers
from minicode_assets.errors import ConfigError
from minicode_assets.parquet import scan_table
from minicode_assets.schemas import EXACT_DUP, LANGUAGE, LICENSE, MINHASH, Table
from minicode_model.config import nearest

_SIDECARS: dict[str, Table] = {"license": LICENSE, "language": LANGUAGE, "exact_dup": EXACT_DUP}


@dataclass(frozen=True)
class Ranked:
    """All documents, and the order in which those that take part are preferred.

    Attributes:
        rows: document_id, partition (number), has_text, same_row (row of the document with the same text, where
            exact_dup names one), rank (0 is best; null for those that don't take part); one row a document.
        participants: Row of each rank.
        families: A number for each rank: only documents with the same one are compared.
    """

    rows: pl.DataFrame
    participants: Numbers
    families: Numbers


def rank_documents(
    documents: Sequence[Path],
    sidecars: Mapping[str, Sequence[Path]],
    minhash: Sequence[Path],
    *,
    params: NearDup,
    origin_facts: Path | None = None,
) -> Ranked:
    """Order all documents by `keep_order`, then document_id; those with a signature of their own take part."""
    parts = []
    for number, (folder, signatures) in enumerate(zip(documents, minhash, strict=True)):
        frame = read_documents(folder, ["document_id", "source", "origin_url", "revision", "path", "length_bytes"])
        frame = with_origin_facts(frame, origin_facts)
        ids = frame["document_id"]
        beside = [read_sidecar(sidecars[n][number], _SIDECARS[n], ids).drop("document_id") for n in sorted(sidecars)]
        beside.append(_signed(signatures, ids))
        parts.append(
            pl.concat([frame, *beside], how="horizontal")
            .with_columns(partition=pl.lit(number, pl.Int32))
            .select("document_id", "partition", "has_text", "has_signature", "source",
                    *_order_columns(params, frame, beside),
                    same_as="duplicate_of" if "exact_dup" in sidecars else pl.lit(None, pl.String))
        )  # fmt: skip
    return _ranked(pl.concat(parts), params)


def _signed(minhash: Path, document_ids: pl.Series) -> pl.DataFrame:
    """Which documents have a text and which a signature."""
    frame = scan_table(minhash, MINHASH, verify=False).select(
        "document_id", has_text=pl.col("num_words").is_not_null(), has_signature=pl.col("signature").is_not_null()
    )
    signed = frame.collect()
    check_rows(signed, document_ids, where=str(minhash), name=MINHASH.name)
    return signed.drop("document_id")


def _order_columns(params: NearDup, documents: pl.DataFrame, beside: Sequence[pl.DataFrame]) -> list[str]:
    known = [*documents.columns, *(name for frame in beside for name in frame.columns)]
    unknown = [name for name in params.keep_order if name not in known]
    if unknown:
        raise ConfigError(
            "\n".join(f"[near_dup] keep_order {name!r}{nearest(name, known)}" for name in unknown),
            hint="minicode config",
        )
    return [name for name in params.keep_order if name not in ("document_id", "source")]


def _ranked(frame: pl.DataFrame, params: NearDup) -> Ranked:
    frame = frame.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    originals = frame.select("row", "document_id").rename({"row": "same_row", "document_id": "same_as"})
    frame = frame.join(originals, on="same_as", how="left", maintain_order="left")
    order = [preference(name) for name in params.keep_order]
    ordered = frame.filter(pl.col("has_signature") & pl.col("same_row").is_null()).sort(
        *order, "document_id", nulls_last=True
    )
    participants = ordered["row"].to_numpy()
    families = ordered["source"].replace_strict(own_families(params), default=0, return_dtype=pl.Int64).to_numpy()
    ranks = pl.DataFrame({"row": participants, "rank": np.arange(len(participants))})
    rows = frame.join(ranks, on="row", how="left", maintain_order="left")
    return Ranked(rows.select("document_id", "partition", "has_text", "same_row", "rank"), participants, families)


def own_families(params: NearDup) -> dict[str, int]:
    """A number for each source that is compared within itself only; 0 is that of all others."""
    return {source: number for number, source in enumerate(params.own_sources, start=1)}
