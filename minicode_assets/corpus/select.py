"""The corpus: documents and sidecars become what is kept, in two splits, and a reason for everything else."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config import Corpus
from minicode_assets.corpus.annotate.exact_dup import digest_texts
from minicode_assets.corpus.annotate.sidecar import check_rows, read_documents, read_sidecar
from minicode_assets.corpus.funnel import funnel
from minicode_assets.corpus.mix import held_out_origins
from minicode_assets.corpus.rules import DUPLICATE, DUPLICATES, NEAR_DUPLICATE, NORMALISED_DUPLICATE, applied, rules
from minicode_assets.errors import CorpusError
from minicode_assets.parquet import read_table, write_parquet
from minicode_assets.provenance.notice import write_notice, write_swhids
from minicode_assets.schemas import (
    CHANGED_TEXTS,
    CONTAMINATION,
    CORPUS,
    DECISIONS,
    EXACT_DUP,
    FUNNEL,
    HEURISTICS,
    LANGUAGE,
    LICENSE,
    MALWARE,
    NEAR_DUP,
    PII,
    QUALITY,
    Table,
)
from minicode_model.artifact import Artifact, open_artifact, write_artifact

SIDECARS: dict[str, Table] = {
    "language": LANGUAGE,
    "license": LICENSE,
    "heuristics": HEURISTICS,
    "pii": PII,
    "malware": MALWARE,
    "quality": QUALITY,
    "contamination": CONTAMINATION,
    "exact_dup": EXACT_DUP,
}
"""The sidecars that the rules read, by asset."""
SPLITS = ("train", "validation")
_DOCUMENT_COLUMNS = ("document_id", "source", "swhid", "sha1_git", "origin_url", "path", "length_bytes", "status")
logger = logging.getLogger("minicode.corpus")


def build_corpus(
    documents: Sequence[Path],
    sidecars: Mapping[str, Sequence[Path]],
    near_dup: Path,
    folder: Path,
    *,
    params: Corpus,
    config_digest: str,
    changed_texts: Sequence[Path] = (),
) -> Artifact:
    """After this, `folder` holds the kept documents, the decision about every document, the funnel and the NOTICE.

    Goes partition by partition: in memory are one partition's texts and all partitions' decisions.

    Args:
        documents: The partitions of the documents.
        sidecars: The same partitions, in the same order, of each asset in `SIDECARS`.
        near_dup: The near_dup artefact; its part files are named after the documents' folders.
        folder: The artefact folder.
        params: The `corpus` section.
        config_digest: Digest of the sections that shape the asset.
        changed_texts: The same partitions of an artefact with schema CHANGED_TEXTS, the documents' rows in order: what
            the corpus gets instead of some documents' texts. The rules look at the texts as they are in the archive;
            only `exact_duplicate` compares them as changed: two files that differ in an address are one text.

    Returns:
        The artefact. `train/` and `validation/`: schema CORPUS, one part a partition, sorted within a part by
        origin_url and path. `decisions/`: schema DECISIONS, the documents' rows in order. `funnel.parquet`: schema
        FUNNEL. `NOTICE`, `swhids.txt`. Metadata: num_documents, num_kept, kept_bytes, num_<split>, <split>_bytes,
        validation_origins, settings (thresholds by rule).

    Raises:
        CorpusError: Sidecars are absent or out of step, or nothing is kept.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    _check_partitions(documents, sidecars)
    if changed_texts:
        _check_count("llm_rewrite", len(changed_texts), len(documents))
    inputs = {**_digests(documents, sidecars, changed_texts), "near_dup": open_artifact(near_dup).digest}
    decided = _decide(documents, sidecars, near_dup, changed_texts, params)
    steps = [*(rule.name for rule in rules(params)), *DUPLICATES]
    table = funnel(decided, steps, bytes_per_token=params.bytes_per_token)
    logger.info("kept %d of %d documents", decided["kept"].sum(), decided.height)
    _check_kept(table, folder)
    with write_artifact(folder, name="corpus", config_digest=config_digest, inputs=inputs) as to:
        for name in (*SPLITS, "decisions"):
            (to.path / name).mkdir()
        for part, path in enumerate(documents):
            texts = corpus_texts(path, changed_texts[part] if changed_texts else None)
            _write_part(texts, decided.filter(pl.col("part") == part), to.path, part)
        write_parquet(table, to.path / "funnel.parquet", FUNNEL)
        kept = decided.filter("kept")
        write_notice(kept, to.path / "NOTICE")
        write_swhids(kept["swhid"], to.path / "swhids.txt")
        to.metadata = _figures(decided) | {"settings": _settings(params)}
    return open_artifact(folder, verify=False)


def _decide(
    documents: Sequence[Path],
    sidecars: Mapping[str, Sequence[Path]],
    near_dup: Path,
    changed_texts: Sequence[Path],
    params: Corpus,
) -> pl.DataFrame:
    """The decision about every document of all partitions, with the split of the kept ones."""
    judged = [
        judge(path, {name: sidecars[name][part] for name in SIDECARS}, near_dup, params).with_columns(part=pl.lit(part))
        for part, path in enumerate(documents)
    ]
    decided = _as_changed(pl.concat(judged), documents, changed_texts)
    decided = drop_normalised_duplicates(drop_duplicates(decided))
    if params.drop_near_duplicates:
        decided = drop_near_duplicates(decided)
    return assign_splits(decided, params)


def judge(documents: Path, sidecars: Mapping[str, Path], near_dup: Path, params: Corpus) -> pl.DataFrame:
    """One partition's documents with their signals and `drop_reasons` by every rule but those for duplicates.

    Raises:
        CorpusError: A sidecar's rows, or the partition's near_dup rows, are out of step with the documents.
    """
    frame = read_documents(documents, _DOCUMENT_COLUMNS)
    columns = [
        read_sidecar(sidecars[name], table, frame["document_id"]).drop("document_id")
        for name, table in SIDECARS.items()
    ]
    columns.append(_clusters(near_dup, documents.name, frame["document_id"]))
    joined = pl.concat([frame, *columns], how="horizontal")
    reasons = pl.concat_list([applied(rule) for rule in rules(params)]).list.drop_nulls()
    return joined.select(
        *_DOCUMENT_COLUMNS,
        "license_type",
        "license_expression",
        "license_evidence",
        "text_sha256",
        "normal_sha256",
        "keep_rank",
        "cluster_id",
        "cluster_rank",
        drop_reasons=reasons,
    )


def _clusters(near_dup: Path, key: str, document_ids: pl.Series) -> pl.DataFrame:
    """One partition's near-duplicate clusters, and the rank of each document in its own."""
    frame = read_table(near_dup, NEAR_DUP, pattern=f"part-{key}.parquet", verify=False)
    check_rows(frame, document_ids, where=f"{near_dup}, part {key}", name=NEAR_DUP.name)
    return frame.select("cluster_id", cluster_rank="keep_rank")


def drop_duplicates(decided: pl.DataFrame) -> pl.DataFrame:
    """Keep, of the documents with equal texts that no rule drops, the one with the best rank; over all partitions.

    Every other document with the text of a kept one gets the reason `exact_duplicate`. A document without a text
    digest can't be told from its copies and gets `exact_duplicate_unmeasured`.

    Returns:
        The frame's rows in order, with `kept` and completed `drop_reasons`.
    """
    return _keep_best(decided, "text_sha256", ("keep_rank", "origin_url", "path", "document_id"), DUPLICATE)


def drop_normalised_duplicates(decided: pl.DataFrame) -> pl.DataFrame:
    """The same for documents whose texts are equal in normal form: white space apart.

    Near duplicates tell which one is preferred, over all partitions; texts that are too short for them go by their id.
    """
    order = ("cluster_rank", "keep_rank", "document_id")
    return _keep_best(decided, "normal_sha256", order, NORMALISED_DUPLICATE)


def drop_near_duplicates(decided: pl.DataFrame) -> pl.DataFrame:
    """Keep, of each cluster of near duplicates, the document with the best rank that nothing else drops.

    The cluster's representative may itself have fallen to another rule; then the best of those that are left stands
    for the cluster, so that no rule takes a whole cluster with it. Every other document of a cluster with a kept one
    gets the reason `near_duplicate`, unless it is an exact duplicate. A document without a cluster gets
    `near_duplicate_unmeasured`.

    Returns:
        The frame's rows in order, with `kept` and `drop_reasons` brought up to date.
    """
    return _keep_best(decided, "cluster_id", ("cluster_rank", "document_id"), NEAR_DUPLICATE)


def _keep_best(decided: pl.DataFrame, group: str, order: Sequence[str], name: str) -> pl.DataFrame:
    """Keep one row of each group without drop reasons, the first in an order that is total; null is no group."""
    candidate = pl.col("drop_reasons").list.len() == 0
    kept = (
        decided.filter(candidate & pl.col(group).is_not_null())
        .sort(*order)
        .unique(group, keep="first", maintain_order=True)
    )
    is_kept = pl.col("document_id").is_in(kept["document_id"].implode())
    stands_for_it = pl.col(group).is_in(kept[group].implode())
    is_copy = pl.any_horizontal(pl.col("drop_reasons").list.contains(reason) for reason in DUPLICATES)
    reason = (
        pl.when(stands_for_it & ~is_kept & ~is_copy)
        .then(pl.lit(name))
        .when(candidate & pl.col(group).is_null())
        .then(pl.lit(f"{name}_unmeasured"))
    )
    return decided.with_columns(
        kept=is_kept,
        drop_reasons=pl.concat_list("drop_reasons", reason).list.drop_nulls(),
    )


def assign_splits(decided: pl.DataFrame, params: Corpus) -> pl.DataFrame:
    """Add `split`: validation for kept documents of the held-out origins, train for the other kept ones, else null."""
    held_out = held_out_origins(
        decided.filter("kept"), validation_fraction=params.validation_fraction, seed=params.seed
    )
    split = pl.when(pl.col("origin_url").is_in(held_out)).then(pl.lit("validation")).otherwise(pl.lit("train"))
    return decided.with_columns(split=pl.when("kept").then(split))


def corpus_texts(documents: Path, changed: Path | None) -> pl.DataFrame:
    """The texts that the corpus gets: document_id, text, changes and parent_sha256 of one partition, in row order.

    Args:
        documents: The partition of the documents.
        changed: Its changed texts, schema CHANGED_TEXTS; None changes nothing.

    Raises:
        CorpusError: The changed texts are out of step with the documents.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
    """
    frame = read_documents(documents, ["document_id", "text"])
    if changed is None:
        return frame.with_columns(changes=pl.lit([], pl.List(pl.String)), parent_sha256=pl.lit(None, pl.Binary))
    other = read_sidecar(changed, CHANGED_TEXTS, frame["document_id"])
    before = other.select(pl.when(pl.col("text").is_not_null()).then(frame["text"])).to_series()
    return other.select(
        "document_id",
        pl.coalesce("text", frame["text"]).alias("text"),
        "changes",
        digest_texts(before).alias("parent_sha256"),
    )


def _as_changed(decided: pl.DataFrame, documents: Sequence[Path], changed: Sequence[Path]) -> pl.DataFrame:
    """The same rows, with `text_sha256` of the changed text where there is one."""
    if not changed:
        return decided
    texts = (
        corpus_texts(path, other).drop_nulls("parent_sha256") for path, other in zip(documents, changed, strict=True)
    )
    digests = pl.concat([part.select("document_id", changed_sha256=digest_texts(part["text"])) for part in texts])
    joined = decided.join(digests, on="document_id", how="left", maintain_order="left")
    return joined.with_columns(text_sha256=pl.coalesce("changed_sha256", "text_sha256")).drop("changed_sha256")


def _write_part(texts: pl.DataFrame, decided: pl.DataFrame, folder: Path, part: int) -> None:
    name = f"part-{part:05d}.parquet"
    write_parquet(decided, folder / "decisions" / name, DECISIONS)
    kept = (
        decided.filter("kept")
        .drop("length_bytes")
        .join(texts, on="document_id", how="left", maintain_order="left")
        .with_columns(length_bytes=pl.col("text").str.len_bytes().cast(pl.Int64))
        .sort("origin_url", "path", "document_id")
    )
    changed = pl.col("parent_sha256").is_not_null()
    kept = kept.with_columns(text_sha256=pl.when(changed).then(digest_texts(kept["text"])).otherwise("text_sha256"))
    for split in SPLITS:
        write_parquet(kept.filter(pl.col("split") == split), folder / split / name, CORPUS)


def _check_partitions(documents: Sequence[Path], sidecars: Mapping[str, Sequence[Path]]) -> None:
    for name in SIDECARS:
        _check_count(name, len(sidecars.get(name, ())), len(documents))


def _check_count(name: str, found: int, expected: int) -> None:
    if found != expected:
        raise CorpusError(
            f"sidecar {name}: found {found} partitions, expected {expected}, as the documents have",
            hint=f"minicode materialize --select {name}",
        )


def _check_kept(table: pl.DataFrame, folder: Path) -> None:
    counts = {step: count for step, count, *_ in table.iter_rows()}
    if counts["kept"]:
        return
    reasons = sorted(((-count, step) for step, count in counts.items() if step != "all" and count))
    told = ", ".join(f"{step} {-count}" for count, step in reasons[:5])
    raise CorpusError(
        f"{folder}: none of {counts['all']} documents is kept; reasons: {told or 'there are no documents'}",
        hint="relax the thresholds in [corpus] (license_types, drop_...), or give a larger archive",
    )


def _digests(
    documents: Sequence[Path], sidecars: Mapping[str, Sequence[Path]], changed_texts: Sequence[Path]
) -> dict[str, str]:
    folders = {"documents": documents, **{name: sidecars[name] for name in SIDECARS}, "changed_texts": changed_texts}
    return {
        f"{name}/{path.name}": open_artifact(path, verify=False).digest for name in folders for path in folders[name]
    }


def _settings(params: Corpus) -> dict[str, dict[str, Any]]:
    """The thresholds of each rule, for whoever asks why a document was dropped."""
    return {rule.name: {name: getattr(params, name) for name in rule.settings} for rule in rules(params)}


def _figures(decided: pl.DataFrame) -> dict[str, Any]:
    kept = decided.filter("kept")
    figures: dict[str, Any] = {
        "num_documents": decided.height,
        "num_kept": kept.height,
        "kept_bytes": int(kept["length_bytes"].sum()),
        "num_origins": kept["origin_url"].n_unique(),
    }
    for split in SPLITS:
        rows = kept.filter(pl.col("split") == split)
        figures |= {f"num_{split}": rows.height, f"{split}_bytes": int(rows["length_bytes"].sum())}
    figures["validation_origins"] = kept.filter(pl.col("split") == "validation")["origin_url"].unique().sort().to_list()
    return figures
