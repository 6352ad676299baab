"""Documents from Software Heritage: one row for each Python file of the manifest, with its text or a status."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from minicode_assets.blobs.opt_out import OptOut, is_opted_out, load_opt_out
from minicode_assets.blobs.store import in_partition
from minicode_assets.config import Documents
from minicode_assets.parquet import read_table, scan_table, write_table
from minicode_assets.schemas import BLOBS, DOCUMENTS, FILE_MANIFEST
from minicode_assets.sources.decode import decode
from minicode_assets.swhid import qualified_swhid
from minicode_model.artifact import Artifact, open_artifact

STATUSES = ("ok", "opted_out", "not_fetched", "missing", "too_long", "nul", "undecodable")
"""What can become of a file's text."""
_TYPE_MASK, _REGULAR = 0o170000, 0o100000


def build_documents(
    file_manifest: Path,
    blobs: Path,
    folder: Path,
    *,
    partition: str,
    params: Documents,
    config_digest: str,
    opt_out: Path | None = None,
    sources: Sequence[Path] = (),
) -> Artifact:
    """After this, `folder` holds one document row for each regular Python file whose content is in the partition.

    The documents of other sources whose content is in the partition stand among them, so that all later stages treat
    them alike.

    Args:
        file_manifest: The manifest artefact.
        blobs: The blobs artefact of the same partition.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `documents` section.
        config_digest: Digest of the sections that shape the asset.
        opt_out: The opt_out artefact: what it covers, of every source, is a row without text, status `opted_out`, even
            where another origin has the same bytes. None when nobody has any wish.
        sources: Folders that `sources.document.write_documents` made with the same partitions.

    Returns:
        The artefact; schema DOCUMENTS, rows sorted by sha1_git, origin_url, revision and path (raw bytes). Metadata:
        partition, num_repeated (rows that a source gave twice, the same record with the same content), num_<status>,
        text_bytes, encodings (count by codec), encodings_told_by (the archive's texts by what named the codec, see
        `Decoded`, and `failed` for those that nothing decodes), documents_by_source.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    inputs = {"file_manifest": open_artifact(file_manifest).digest, "blobs": open_artifact(blobs).digest}
    if opt_out:
        inputs["opt_out"] = open_artifact(opt_out).digest
    inputs |= {f"{path.parent.name}/{path.name}": open_artifact(path, verify=False).digest for path in sources}
    wishes = load_opt_out(opt_out) if opt_out else OptOut()
    rows, texts = _files(file_manifest, partition, wishes), _decode_blobs(blobs, params)
    frame = _documents(rows, texts, params)
    if sources:
        others = [_honoured(read_table(path, DOCUMENTS, pattern=f"{partition}.parquet"), wishes) for path in sources]
        frame = pl.concat([frame, *others]).sort("sha1_git", "origin_url", "revision", "path", "document_id")
    num_rows = frame.height
    frame = frame.unique("document_id", keep="first", maintain_order=True)
    metadata = {
        "partition": partition,
        "num_repeated": num_rows - frame.height,
        **_figures(frame),
        "encodings_told_by": _told_by(rows, texts, params),
    }
    return write_table(folder, frame, DOCUMENTS, config_digest=config_digest, inputs=inputs, metadata=metadata)


def _files(file_manifest: Path, partition: str, wishes: OptOut) -> pl.DataFrame:
    """The regular Python files whose content is in the partition, sorted, and whether the wishes cover each."""
    files = scan_table(file_manifest, FILE_MANIFEST, verify=False).filter(
        pl.col("is_python") & (pl.col("perms") & _TYPE_MASK).eq(_REGULAR) & in_partition("sha1_git", partition)
    )
    covered = files.with_columns(opted_out=is_opted_out(files, wishes))
    return covered.sort("sha1_git", "origin_url", "revision", "path").collect()


def _honoured(documents: pl.DataFrame, wishes: OptOut) -> pl.DataFrame:
    """Another source's documents, those that the wishes cover without text and with the status opted_out."""
    covered = covered_documents(documents, wishes)
    return documents.with_columns(
        pl.when(covered).then(pl.lit("opted_out")).otherwise("status").alias("status"),
        *(pl.when(~covered).then(pl.col(name)).alias(name) for name in ("encoding", "text")),
    )


def covered_documents(documents: pl.DataFrame, wishes: OptOut) -> pl.Series:
    """Whether the wishes cover each of another source's documents."""
    files = documents.lazy().with_columns(pl.col("path").cast(pl.Binary), snapshot=pl.lit(None, pl.Binary))
    return files.select(covered=is_opted_out(files, wishes)).collect()["covered"]


PROVENANCE = ("record_id", "url", "declared_license", "date")
"""Columns that only other sources fill: a SWHID says it all."""


def document_id(swhid: str) -> str:
    """32 hex digits of BLAKE2b over a qualified SWHID, or `source:record_id`: the same for ever."""
    return hashlib.blake2b(swhid.encode(), digest_size=16).hexdigest()


def readable_path(path: bytes) -> str:
    r"""A path as text: UTF-8, and bytes that are not UTF-8 as `\xNN`."""
    return path.decode("utf-8", errors="backslashreplace")


def _decode_blobs(blobs: Path, params: Documents) -> pl.DataFrame:
    """One row a wanted blob: sha1_git, status, encoding, text, told_by."""
    wanted = scan_table(blobs, BLOBS, verify=False).select("sha1_git", "data")
    rows: list[tuple[bytes, str, str | None, str | None, str | None]] = []
    for sha1_git, content in wanted.collect().iter_rows():
        if content is None:
            rows.append((sha1_git, "missing", None, None, None))
        elif len(content) <= params.max_length_bytes:
            decoded = decode(content, detect=params.detect_encodings)
            rows.append((sha1_git, decoded.status, decoded.encoding, decoded.text, decoded.told_by))
    names = ("status", "encoding", "text", "told_by")
    return pl.DataFrame(rows, schema={"sha1_git": pl.Binary, **dict.fromkeys(names, pl.String)}, orient="row")


def _told_by(rows: pl.DataFrame, texts: pl.DataFrame, params: Documents) -> dict[str, int]:
    """How many of the files' texts each way of naming a codec decodes; `failed`: none of them."""
    wanted = rows.filter(~pl.col("opted_out") & (pl.col("length") <= params.max_length_bytes))
    told = wanted.select("sha1_git").join(texts.select("sha1_git", "status", "told_by"), on="sha1_git")
    failed = pl.when(pl.col("status") == "undecodable").then(pl.lit("failed"))
    named = told.select(pl.coalesce(failed, "told_by")).to_series().drop_nulls()
    return dict(sorted(named.value_counts().iter_rows()))


def _documents(rows: pl.DataFrame, texts: pl.DataFrame, params: Documents) -> pl.DataFrame:
    swhids = [
        qualified_swhid(**row)
        for row in rows.select("sha1_git", "origin_url", "snapshot", "revision", "path", "anchor").iter_rows(named=True)
    ]
    too_long = pl.col("length") > params.max_length_bytes
    unwanted = pl.when(pl.col("in_archive") == "present").then(pl.lit("not_fetched")).otherwise(pl.lit("missing"))
    return (
        rows.rename({"status": "in_archive"})
        .join(texts, on="sha1_git", how="left", maintain_order="left")
        .with_columns(
            pl.Series("document_id", [document_id(swhid) for swhid in swhids], dtype=pl.String),
            pl.Series("swhid", swhids, dtype=pl.String),
            pl.Series("path", [readable_path(path) for path in rows["path"]], dtype=pl.String),
            pl.lit("swh").alias("source"),
            *(pl.lit(None, DOCUMENTS.polars[name]).alias(name) for name in PROVENANCE),
            pl.col("length").alias("length_bytes"),
            pl.when("opted_out")
            .then(pl.lit("opted_out"))
            .when(too_long)
            .then(pl.lit("too_long"))
            .otherwise(pl.coalesce("status", unwanted))
            .alias("status"),
            *(pl.when(~pl.col("opted_out")).then(pl.col(name)).alias(name) for name in ("encoding", "text")),
        )
        .select(DOCUMENTS.polars.names())
    )


def _figures(frame: pl.DataFrame) -> dict[str, object]:
    statuses = dict(frame["status"].value_counts().iter_rows())
    encodings = dict(frame["encoding"].drop_nulls().value_counts().iter_rows())
    return {
        **{f"num_{status}": statuses.get(status, 0) for status in sorted({*STATUSES, *statuses})},
        "text_bytes": int(frame["text"].str.len_bytes().sum()),
        "encodings": dict(sorted(encodings.items())),
        "documents_by_source": dict(frame.group_by("source").len().sort("source").iter_rows()),
    }
