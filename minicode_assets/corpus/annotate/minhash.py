"""The minhash sidecar: a MinHash signature of each document, from which near_dup finds candidates."""

import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from minicode_assets.config import NearDup
from minicode_assets.corpus.annotate.sidecar import read_documents, write_sidecar
from minicode_assets.corpus.minhash import ALGORITHM_VERSION, sketch
from minicode_assets.schemas import MINHASH
from minicode_model.artifact import Artifact

_LEADING_COMMENTS = r"\A(?:\u{FEFF})?(?:[ \t]*(?:#[^\n]*)?\r?\n)+"
_BATCH_BYTES = 1 << 24
_PROGRESS_S = 5.0
logger = logging.getLogger("minicode.minhash")


def annotate(documents: Path, folder: Path, *, params: NearDup, config_digest: str) -> Artifact:
    """After this, `folder` holds the signature of each document.

    Args:
        documents: One partition of the documents.
        folder: The artefact folder of this partition.
        params: The `near_dup` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema MINHASH, the documents' rows in order. Metadata: algorithm_version (signatures of
        different versions can't be compared), num_signatures, num_short (fewer words than a shingle).

    Raises:
        MissingArtifactError, CorruptArtifactError: The documents are absent or differ from their manifest.
        StorageError: `folder` can't be written.
    """
    frame = read_documents(documents, ["document_id", "text"])
    texts = frame.with_row_index("row").drop_nulls("text").select("row", "text")
    signed = pl.concat([_empty(), *_signed(texts, params)])
    sidecar = (
        frame.select("document_id")
        .with_row_index("row")
        .join(signed, on="row", how="left", maintain_order="left")
        .select(MINHASH.polars.names())
    )
    num_signatures = sidecar["signature"].count()
    return write_sidecar(
        folder,
        sidecar,
        MINHASH,
        document_ids=frame["document_id"],
        config_digest=config_digest,
        inputs={"documents": documents},
        metadata={
            "algorithm_version": ALGORITHM_VERSION,
            "num_signatures": num_signatures,
            "num_short": texts.height - num_signatures,
        },
    )


def comparable_texts(texts: pl.Series, params: NearDup) -> list[bytes]:
    """The part of each text that is compared, in UTF-8: without the comment lines at the top, unless they are all."""
    if params.skip_leading_comments:
        shorter = texts.str.replace(_LEADING_COMMENTS, "")
        texts = pl.select(pl.when(shorter.str.contains(r"\w")).then(shorter).otherwise(texts)).to_series()
    return [text.encode() for text in texts]


def _empty() -> pl.DataFrame:
    return pl.DataFrame(schema={"row": pl.UInt32, "num_words": pl.Int64, "signature": pl.Binary})


def _signed(texts: pl.DataFrame, params: NearDup) -> Iterator[pl.DataFrame]:
    """Row, num_words and signature, some megabytes of text at a time."""
    reported, done = time.monotonic(), 0
    for batch in _batches(texts):
        signatures, num_words = sketch(
            comparable_texts(batch["text"], params),
            shingle_words=params.shingle_words,
            tokens=params.tokens,
            num_permutations=params.num_permutations,
            seed=params.seed,
        )
        rows = [row.tobytes() for row in signatures.astype("<u4", copy=False)]
        enough = pl.col("num_words") >= params.shingle_words
        yield batch.select(
            "row", pl.Series("num_words", num_words), pl.Series("signature", rows, dtype=pl.Binary)
        ).with_columns(signature=pl.when(enough).then(pl.col("signature")))
        done += batch.height
        if time.monotonic() - reported > _PROGRESS_S:
            reported = time.monotonic()
            logger.info("signatures of %d of %d texts", done, texts.height)


def _batches(texts: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Consecutive rows with about `_BATCH_BYTES` of text each; none where no row has text."""
    if not texts.height:
        return
    ends = texts["text"].str.len_bytes().cum_sum().to_numpy()
    cuts: Sequence[int] = np.unique(ends // _BATCH_BYTES, return_index=True)[1].tolist()
    for start, end in zip(cuts, [*cuts[1:], texts.height], strict=True):
        yield texts.slice(start, end - start)
