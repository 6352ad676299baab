"""The exact_dup sidecar: documents with the same text, and which one of them represents the others.

Beside the digest of the text stands that of its normal form, which selection compares over all partitions.
"""

import hashlib
import unicodedata
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from minicode_assets.config import ExactDup
from minicode_assets.corpus.annotate.origin_facts import with_origin_facts
from minicode_assets.corpus.annotate.sidecar import read_documents, read_sidecar, write_sidecar
from minicode_assets.errors import ConfigError
from minicode_assets.schemas import EXACT_DUP, LANGUAGE, LICENSE
from minicode_model.artifact import Artifact
from minicode_model.config import nearest

LICENSE_ORDER = ("permissive", "no_license", "non_permissive")
"""Best first."""
_SIDECARS = {"license": LICENSE, "language": LANGUAGE}


def annotate(
    documents: Path,
    sidecars: Mapping[str, Path],
    folder: Path,
    *,
    params: ExactDup,
    config_digest: str,
    origin_facts: Path | None = None,
) -> Artifact:
    """After this, `folder` groups the documents with equal texts and ranks each group's members.

    Args:
        documents: One partition of the documents. Equal bytes share a partition, so this finds all but texts that
            differ in their encoding only; `corpus` compares the digests of all partitions.
        sidecars: The license and language sidecars of the same partition.
        folder: The artefact folder of this partition.
        params: The `exact_dup` section.
        config_digest: Digest of the sections that shape the asset.
        origin_facts: The origin_facts artefact; None when nothing is known of any origin.

    Returns:
        The artefact; schema EXACT_DUP, the documents' rows in order. Metadata: num_duplicates, duplicate_bytes.

    Raises:
        ConfigError: `keep_order` names a column that there isn't.
        CorpusError: A sidecar is out of step with the documents.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "origin_url", "revision", "path", "length_bytes", "text"])
    frame = frame.with_columns(digest_texts(frame["text"]), digest_normal_forms(frame["text"])).drop("text")
    joined = with_origin_facts(_with_sidecars(frame, sidecars), origin_facts)
    sidecar = rank_duplicates(joined, params=params)
    duplicates = frame.filter(sidecar["duplicate_of"].is_not_null())
    return write_sidecar(
        folder,
        sidecar,
        EXACT_DUP,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={
            "documents": documents,
            **{name: sidecars[name] for name in sorted(sidecars)},
            **({"origin_facts": origin_facts} if origin_facts else {}),
        },
        metadata={"num_duplicates": duplicates.height, "duplicate_bytes": int(duplicates["length_bytes"].sum())},
    )


def digest_texts(texts: pl.Series) -> pl.Series:
    """SHA-256 (32 bytes) of each text in UTF-8; null for null."""
    digests = [None if text is None else hashlib.sha256(text.encode()).digest() for text in texts]
    return pl.Series("text_sha256", digests, dtype=pl.Binary)


def digest_normal_forms(texts: pl.Series) -> pl.Series:
    """SHA-256 (32 bytes) of each text's normal form; null for null.

    The normal form has no white space, so that newlines, indentation and formatting of lines don't count, and composed
    characters (NFC).
    """
    digests = [None if text is None else hashlib.sha256(_normal_form(text)).digest() for text in texts]
    return pl.Series("normal_sha256", digests, dtype=pl.Binary)


def _normal_form(text: str) -> bytes:
    return b"".join((text if text.isascii() else unicodedata.normalize("NFC", text)).encode().split())


def rank_duplicates(frame: pl.DataFrame, *, params: ExactDup) -> pl.DataFrame:
    """Group rows by text and rank each group by `params.keep_order`, then document_id.

    Args:
        frame: document_id, text_sha256 and the columns of `keep_order`.
        params: The `exact_dup` section.

    Returns:
        Schema EXACT_DUP, the frame's rows in order.
    """
    unknown = [name for name in params.keep_order if name not in frame.columns]
    if unknown:
        raise ConfigError(
            "\n".join(f"[exact_dup] keep_order {name!r}{nearest(name, frame.columns)}" for name in unknown),
            hint="minicode config",
        )
    order = [preference(name) for name in params.keep_order]
    ranked = (
        frame.with_row_index("row")
        .filter(pl.col("text_sha256").is_not_null())
        .sort(*order, "document_id", nulls_last=True)
        .with_columns(
            group_size=pl.len().over("text_sha256").cast(pl.Int64),
            keep_rank=pl.int_range(pl.len()).over("text_sha256").cast(pl.Int64),
            first=pl.col("document_id").first().over("text_sha256"),
        )
        .with_columns(duplicate_of=pl.when(pl.col("keep_rank") > 0).then(pl.col("first")))
        .select("row", "group_size", "keep_rank", "duplicate_of")
    )
    return (
        frame.with_row_index("row")
        .join(ranked, on="row", how="left", maintain_order="left")
        .select(EXACT_DUP.polars.names())
    )


def preference(name: str) -> pl.Expr:
    """The sort key of a column: licence types best first, most stars and latest commit first, else ascending."""
    if name == "license_type":
        ranks = {license_type: rank for rank, license_type in enumerate(LICENSE_ORDER)}
        return pl.col(name).replace_strict(ranks, default=len(ranks), return_dtype=pl.Int8)
    return -pl.col(name).to_physical() if name in ("num_stars", "commit_date") else pl.col(name)


def _with_sidecars(frame: pl.DataFrame, sidecars: Mapping[str, Path]) -> pl.DataFrame:
    """The frame with the sidecars' columns beside its own."""
    columns = [
        read_sidecar(sidecars[name], table, frame["document_id"]).drop("document_id")
        for name, table in _SIDECARS.items()
    ]
    return pl.concat([frame, *columns], how="horizontal")
