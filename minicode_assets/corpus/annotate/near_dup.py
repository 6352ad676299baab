"""The near_dup artefact: for every document the one that represents it, proven similar by exact Jaccard index.

It looks at all partitions at once and writes one part file a partition, row-aligned with that partition's documents.
Signatures stay on disk until a band says that a document has a possible partner; only those documents' signatures and
shingles are read, into scratch files that the operating system may drop from memory. A million documents, a third of
them near duplicates, take 0.8 GB (benchmarks/near_dup.py).
"""

import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.config import NearDup
from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.corpus.annotate.ranking import Ranked, rank_documents
from minicode_assets.corpus.annotate.sidecar import read_documents
from minicode_assets.corpus.minhash import ShingleSets, Signatures, band_keys
from minicode_assets.corpus.shingles import Numbers, unique_shingles
from minicode_assets.corpus.stars import Buckets, Stars, build_buckets, find_stars
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import scan_table, write_parquet
from minicode_assets.schemas import MINHASH, NEAR_DUP
from minicode_model.artifact import Artifact, open_artifact, rebuild_hint, write_artifact

_ROWS_A_STEP = 4096
_FAMILY = np.uint64(0x9E3779B97F4A7C15)
"""Sets the bands of each family apart: documents of two never share one."""
logger = logging.getLogger("minicode.near_dup")


def annotate(
    documents: Sequence[Path],
    minhash: Sequence[Path],
    sidecars: Mapping[str, Sequence[Path]],
    folder: Path,
    *,
    partitions: Sequence[str],
    params: NearDup,
    config_digest: str,
    origin_facts: Path | None = None,
) -> Artifact:
    """After this, `folder` names the representative of each document of each partition.

    Args:
        documents: All partitions of the documents.
        minhash: The minhash sidecars, partition by partition.
        sidecars: license and language, for `keep_order`, and exact_dup, partition by partition; any may be absent.
            With exact_dup only the representatives of equal texts are compared, and the others follow theirs.
        folder: The artefact folder.
        partitions: Partition keys, in the order of the folders; the part files are named after them.
        params: The `near_dup` section.
        config_digest: Digest of the sections that shape the asset.
        origin_facts: The origin_facts artefact; None when nothing is known of any origin.

    Returns:
        The artefact: `part-<partition>.parquet`, schema NEAR_DUP, the partition's documents' rows in order. Metadata:
        num_rows, num_duplicates, num_candidates, num_likely, num_verified, num_confirmed, num_crowded (see Stars),
        edge_precision_fraction (confirmed of verified), cluster_sizes (documents to clusters), largest_cluster.

    Raises:
        ConfigError: `keep_order` names a column that there isn't.
        CorpusError: A sidecar is out of step with its documents, or signatures were made by different versions.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    inputs = _input_digests(documents, minhash, sidecars)
    if origin_facts:
        inputs["origin_facts"] = open_artifact(origin_facts, verify=False).digest
    ranked = rank_documents(documents, sidecars, minhash, params=params, origin_facts=origin_facts)
    with write_artifact(folder, name=NEAR_DUP.name, config_digest=config_digest, inputs=inputs) as writer:
        with tempfile.TemporaryDirectory(prefix=".scratch-", dir=writer.path) as scratch:
            stars, texts = _compare(documents, minhash, ranked, Path(scratch), params)
        frame = assign(ranked, stars, texts)
        for number, key in enumerate(partitions):
            part = frame.filter(pl.col("partition") == number)
            write_parquet(part.select(NEAR_DUP.polars.names()), writer.path / f"part-{key}.parquet", NEAR_DUP)
        writer.metadata = {"num_rows": frame.height, **_figures(frame, stars)}
    return open_artifact(folder, verify=False)


def assign(ranked: Ranked, stars: Stars, texts: Numbers) -> pl.DataFrame:
    """Give every document its representative.

    Args:
        ranked: All documents.
        stars: The stars of the documents that were compared.
        texts: Rank of each of those, ascending.

    Returns:
        Schema NEAR_DUP and partition, one row a document in the order of `ranked.rows`.
    """
    rows = ranked.rows
    target = np.arange(rows.height)
    jaccard = np.ones(rows.height)
    members = ranked.participants[texts]
    target[members] = ranked.participants[texts[stars.representative]]
    jaccard[members] = stars.jaccard
    same = rows["same_row"].fill_null(pl.int_range(rows.height, eager=True)).to_numpy()
    target, jaccard = target[same], jaccard[same]
    sizes = np.bincount(target, minlength=rows.height)[target]
    columns = {
        "cluster_id": rows["document_id"].gather(target),
        "cluster_size": pl.Series(sizes),
        "keep_rank": _keep_ranks(rows, target, same),
        "jaccard": pl.Series(jaccard),
    }
    has_text = pl.col("has_text")
    return rows.with_columns(**{name: pl.when(has_text).then(values) for name, values in columns.items()}).with_columns(
        duplicate_of=pl.when(pl.col("cluster_id") != pl.col("document_id")).then(pl.col("cluster_id"))
    )


def _keep_ranks(rows: pl.DataFrame, target: Numbers, same: Numbers) -> pl.Series:
    """Place of each row in its cluster: by rank, exact duplicates behind the one that they follow."""
    places = pl.DataFrame(
        {
            "row": np.arange(rows.height),
            "cluster": target,
            "rank": rows["rank"].gather(same),
            "follows": same != np.arange(rows.height),
            "document_id": rows["document_id"],
        }
    ).sort("rank", "follows", "document_id")
    return places.with_columns(place=pl.int_range(pl.len()).over("cluster")).sort("row")["place"]


def _compare(
    documents: Sequence[Path], minhash: Sequence[Path], ranked: Ranked, scratch: Path, params: NearDup
) -> tuple[Stars, Numbers]:
    """Find the stars among all documents with a possible partner; returns them with those documents' ranks."""
    shape = (params.num_bands, max(1, len(ranked.participants)))
    keys = np.memmap(scratch / "keys", np.uint64, "w+", shape=shape)[:, : len(ranked.participants)]
    for ranks, signatures in _signatures(minhash, ranked, np.ones(len(ranked.participants), bool), params):
        same = band_keys(signatures, num_bands=params.num_bands, rows_per_band=params.rows_per_band)
        keys[:, ranks] = same ^ (ranked.families[ranks].astype(np.uint64) * _FAMILY)
    buckets = build_buckets(keys)
    texts = np.flatnonzero(np.diff(buckets.text_offsets))
    logger.info("near duplicates: %d of %d documents share a band", len(texts), len(ranked.participants))
    signatures, sets = _load(documents, minhash, ranked, texts, scratch, params)
    stars = find_stars(
        _renumbered(buckets, texts),
        signatures,
        sets,
        min_jaccard=params.min_jaccard_fraction,
        estimate_sigmas=params.estimate_sigmas,
        max_bucket_texts=params.max_bucket_texts,
    )
    return stars, texts


def _renumbered(buckets: Buckets, texts: Numbers) -> Buckets:
    """The same buckets, of the texts that are in any, numbered from 0."""
    members = np.searchsorted(texts, buckets.members).astype(np.int32)
    offsets = np.append(buckets.text_offsets[texts], len(members))
    return Buckets(members, buckets.offsets, buckets.of_text, buckets.places, offsets)


def _signatures(
    minhash: Sequence[Path], ranked: Ranked, wanted: npt.NDArray[np.bool_], params: NearDup
) -> Iterator[tuple[Numbers, Signatures]]:
    """Ranks and signatures of the wanted ranks, some thousand at a time."""
    for number, folder in enumerate(minhash):
        ranks = ranked.rows.filter(pl.col("partition") == number)["rank"].fill_null(-1).to_numpy()
        rows = np.flatnonzero((ranks >= 0) & wanted[ranks]) if len(wanted) else ranks[:0]
        column = scan_table(folder, MINHASH, verify=False).select("signature").collect()["signature"]
        for start in range(0, len(rows), _ROWS_A_STEP):
            step = rows[start : start + _ROWS_A_STEP]
            values = np.frombuffer(b"".join(column.gather(step)), dtype="<u4")
            yield ranks[step], values.reshape(len(step), params.num_permutations)


def _load(
    documents: Sequence[Path], minhash: Sequence[Path], ranked: Ranked, texts: Numbers, scratch: Path, params: NearDup
) -> tuple[Signatures, ShingleSets]:
    """Signatures and distinct shingles of some ranks, in scratch files."""
    wanted = np.zeros(len(ranked.participants), dtype=bool)
    wanted[texts] = True
    signatures = np.memmap(scratch / "signatures", np.uint32, "w+", shape=(len(texts) + 1, params.num_permutations))
    for ranks, values in _signatures(minhash, ranked, wanted, params):
        signatures[np.searchsorted(texts, ranks)] = values
    starts, sizes = np.zeros(len(texts), np.int64), np.zeros(len(texts), np.int64)
    total = 0
    with (scratch / "shingles").open("wb") as stream:
        for rank, hashes in _shingles(documents, ranked, wanted, params):
            place = np.searchsorted(texts, rank)
            starts[place], sizes[place] = total, len(hashes)
            stream.write(hashes.tobytes())
            total += len(hashes)
        stream.write(bytes(4))
    return signatures[:-1], ShingleSets(np.memmap(scratch / "shingles", np.uint32, "r"), starts, sizes)


def _shingles(
    documents: Sequence[Path], ranked: Ranked, wanted: npt.NDArray[np.bool_], params: NearDup
) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Rank and distinct shingles of each wanted rank, in the documents' order."""
    for number, folder in enumerate(documents):
        ranks = ranked.rows.filter(pl.col("partition") == number)["rank"].fill_null(-1).to_numpy()
        rows = np.flatnonzero((ranks >= 0) & wanted[ranks]) if len(wanted) else ranks[:0]
        texts = read_documents(folder, ["text"])["text"].gather(rows) if len(rows) else pl.Series([], dtype=pl.String)
        for start in range(0, len(rows), _ROWS_A_STEP):
            step = slice(start, start + _ROWS_A_STEP)
            sets = unique_shingles(comparable_texts(texts[step], params), n=params.shingle_words, rule=params.tokens)
            yield from zip(ranks[rows[step]].tolist(), sets, strict=True)


def _input_digests(
    documents: Sequence[Path], minhash: Sequence[Path], sidecars: Mapping[str, Sequence[Path]]
) -> dict[str, str]:
    """Digest of every input folder, and a check that one version made all signatures."""
    inputs, versions = {}, {}
    for name, folders in {"documents": documents, "minhash": minhash, **sidecars}.items():
        for folder in folders:
            artifact = open_artifact(folder, verify=name == "minhash")
            inputs[f"{name}/{folder.name}"] = artifact.digest
            if name == "minhash":
                versions[str(folder)] = artifact.metadata["algorithm_version"]
    if len(set(versions.values())) > 1:
        raise CorpusError(
            f"minhash: signatures of different versions can't be compared: {versions}", hint=rebuild_hint("minhash")
        )
    return inputs


def _figures(frame: pl.DataFrame, stars: Stars) -> dict[str, Any]:
    sizes = frame.filter(pl.col("cluster_id") == pl.col("document_id"))["cluster_size"]
    histogram = sizes.value_counts().sort("cluster_size").iter_rows()
    return {
        "num_duplicates": frame["duplicate_of"].count(),
        "num_candidates": stars.num_candidates,
        "num_likely": stars.num_likely,
        "num_verified": stars.num_verified,
        "num_confirmed": stars.num_confirmed,
        "num_crowded": stars.num_crowded,
        "edge_precision_fraction": stars.num_confirmed / stars.num_verified if stars.num_verified else None,
        "cluster_sizes": {str(size): count for size, count in histogram},
        "largest_cluster": sizes.max(),
    }
