"""What happened to one file and why, from the manifest to the tokens, for a person to read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from minicode_assets.config import Config, NearDup
from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.corpus.minhash import exact_jaccard, shingle_sets
from minicode_assets.corpus.rewrite.llm import SCORES
from minicode_assets.corpus.rewrite.redact import SPANS
from minicode_assets.corpus.rules import DUPLICATE, NEAR_DUPLICATE, NORMALISED_DUPLICATE, rules
from minicode_assets.corpus.select import SIDECARS
from minicode_assets.errors import CorpusError, MinicodeError
from minicode_assets.layout import Layout, partition_keys
from minicode_assets.parquet import scan_table
from minicode_assets.provenance.changes import tell_changes
from minicode_assets.schemas import (
    BLOBS,
    CONTAMINATION_HITS,
    CORPUS,
    DECISIONS,
    DOCUMENTS,
    EXACT_DUP,
    FETCH_PLAN,
    FILE_MANIFEST,
    LLM_REWRITE,
    LLM_SCORES,
    NEAR_DUP,
    PII_SPANS,
    TOKEN_DOCUMENTS,
    Table,
)
from minicode_assets.sources.swh import document_id, readable_path
from minicode_model.artifact import open_artifact
from minicode_model.shards import DOCUMENTS_FILE, open_split

Row = dict[str, Any]
Line = tuple[str, str]
"""A heading (empty where it is the former's) and what it says."""
_MAX_FILES = 20
_DIGESTS = {DUPLICATE: "text_sha256", NORMALISED_DUPLICATE: "normal_sha256"}


@dataclass(frozen=True)
class Wanted:
    """What an identifier names: a content, and one document of it or all.

    Attributes:
        sha1_git: 20 bytes.
        document_id: Empty for all documents of the content.
    """

    sha1_git: bytes
    document_id: str


def explain(layout: Layout, config: Config, identifier: str) -> str:
    """Tell a file's way: manifest, plan, blob, and for each document licence, decision with its evidence, tokens.

    Args:
        layout: The data folder; what was not made yet is said to be so.
        config: Names the partitions, and how near duplicates are compared.
        identifier: A document_id, a qualified SWHID, or a core SWHID of a content (which may be several documents).

    Raises:
        CorpusError: Nothing is known of it, or the identifier has another form.
        MissingArtifactError: Nothing is known of any file yet.
        CorruptArtifactError: A file differs from its manifest.
    """
    known = _Records(layout, config)
    wanted = _wanted(known, identifier)
    files = known.rows("file_manifest", FILE_MANIFEST, pl.col("sha1_git") == wanted.sha1_git)
    documents = known.rows("documents", DOCUMENTS, pl.col("sha1_git") == wanted.sha1_git, wanted.sha1_git)
    if not files and not documents:
        open_artifact(layout.asset("file_manifest"), verify=False)  # nothing is known before it was made
        raise CorpusError(
            f"{layout.root}: no file of the manifest and no document has the content {identifier.partition(';')[0]}",
            hint="minicode resolve shows the manifest; minicode search FILE looks for a text",
        )
    chosen = [row for row in documents if wanted.document_id in ("", row["document_id"]) or row["swhid"] == identifier]
    length = files[0]["length"] if files else documents[0]["length_bytes"]
    parts = [_content(known, wanted, files, length), *(_document(known, row) for row in chosen)]
    return "\n\n".join("\n".join(f"{head:<10}{told}" for head, told in part) for part in parts)


class _Records:
    """Rows of the artefacts of a data folder."""

    def __init__(self, layout: Layout, config: Config) -> None:
        self.layout, self.config = layout, config
        self.keys = partition_keys(config.partitions.num_prefixes)

    def key(self, sha1_git: bytes) -> str:
        """The partition of a content."""
        return self.keys[sha1_git[0] * len(self.keys) // 256]

    def rows(
        self, name: str, table: Table, where: pl.Expr, sha1_git: bytes | None = None, pattern: str = "*.parquet"
    ) -> list[Row]:
        """The rows of an artefact (of one content's partition) that fulfil a condition; none if it was never made."""
        folder = self.layout.asset(name, self.key(sha1_git) if sha1_git else None)
        if not folder.is_dir():
            return []
        frame = scan_table(folder, table, pattern=pattern, verify=False).filter(where)
        return frame.drop("text", "data", strict=False).collect().to_dicts()

    def everywhere(self, name: str, table: Table, where: pl.Expr) -> list[Row]:
        """The same over all partitions."""
        return [row for key in self.keys for row in self.rows(f"{name}/{key}", table, where)]

    def text(self, row: Row) -> str:
        """The text of a document."""
        folder = self.layout.asset("documents", self.key(row["sha1_git"]))
        frame = scan_table(folder, DOCUMENTS, verify=False).filter(pl.col("document_id") == row["document_id"])
        return str(frame.select("text").collect().item())


def _wanted(known: _Records, identifier: str) -> Wanted:
    if identifier.startswith("swh:1:cnt:"):
        core, _, qualifiers = identifier.partition(";")
        digits = core.rpartition(":")[2]
        if len(digits) == 40 and not set(digits) - set("0123456789abcdef"):
            return Wanted(bytes.fromhex(digits), document_id(identifier) if qualifiers else "")
    elif len(identifier) == 32:
        found = known.everywhere("documents", DOCUMENTS, pl.col("document_id") == identifier.lower())
        if found:
            return Wanted(found[0]["sha1_git"], identifier.lower())
        raise CorpusError(f"no document has the id {identifier}", hint="give a SWHID: swh:1:cnt:<40 hex digits>")
    raise CorpusError(
        f"{identifier!r}: found no identifier of a document",
        hint="give a document_id (32 hex digits) or a SWHID: swh:1:cnt:<40 hex digits>[;origin=...]",
    )


def _content(known: _Records, wanted: Wanted, files: Sequence[Row], length: int) -> Iterator[Line]:
    yield "content", f"swh:1:cnt:{wanted.sha1_git.hex()}, {length} bytes"
    for number, row in enumerate(files[:_MAX_FILES]):
        kinds = [kind for kind in ("python", "license", "vendored") if row[f"is_{kind}"]] or [
            "neither Python nor licence"
        ]
        told = f"{row['origin_url']} {readable_path(row['path'])} ({row['status']}; {', '.join(kinds)})"
        yield "" if number else "manifest", told
    if len(files) > _MAX_FILES:
        yield "", f"and {len(files) - _MAX_FILES} more files"
    for row in known.rows("fetch_plan", FETCH_PLAN, pl.col("sha1_git") == wanted.sha1_git):
        yield "plan", f"not fetched: {row['rule']}" if row["rule"] else f"fetched, priority {row['priority']}"
    for row in known.rows("blobs", BLOBS, pl.col("sha1_git") == wanted.sha1_git, wanted.sha1_git):
        yield "blob", row["status"] + (f": {row['problem']}" if row["problem"] else "")


def _document(known: _Records, row: Row) -> Iterator[Line]:
    yield "document", row["document_id"]
    yield "swhid", row["swhid"]
    if row["record_id"]:
        told = (row["record_id"], row["url"], row["declared_license"], row["date"])
        yield "source", ", ".join([row["source"], *(str(value) for value in told if value)])
    yield "text", f"{row['status']}{', ' + row['encoding'] if row['encoding'] else ''}"
    signals = dict(row)
    for name, table in SIDECARS.items():
        for sidecar in known.rows(name, table, pl.col("document_id") == row["document_id"], row["sha1_git"]):
            signals |= sidecar
    if "license_type" in signals:
        yield "license", _license(signals)
    for number, change in enumerate(_changes(known, row)):
        yield "" if number else "changes", change
    yield from _decision(known, signals)


def _changes(known: _Records, row: Row) -> Iterator[str]:
    """What became of the text on its way to the corpus."""
    here = pl.col("document_id") == row["document_id"]
    partition = row["sha1_git"]
    changed = known.rows("llm_rewrite", LLM_REWRITE, here, partition)
    return tell_changes(
        [step for found in changed for step in found["changes"]],
        known.rows("pii", PII_SPANS, here, partition, SPANS),
        known.rows("llm_rewrite", LLM_SCORES, here, partition, SCORES),
    )


def _license(signals: Row) -> str:
    told = f"{signals['license_type']}: {signals['license_expression'] or 'none found'}"
    if not signals["license_evidence"]:
        return told
    evidence = signals["license_evidence"].replace("\n", ", ")
    return f"{told} (rule {signals['license_rule']}, score {signals['license_score']:.2f}, from {evidence})"


def _decision(known: _Records, signals: Row) -> Iterator[Line]:
    here = pl.col("document_id") == signals["document_id"]
    rows = known.rows("corpus", DECISIONS, here, pattern="decisions/*.parquet")
    if not rows:
        yield "outcome", "not decided: the corpus was not made, or made of other documents"
        return
    yield "outcome", f"kept, in {rows[0]['split']}" if rows[0]["kept"] else "dropped"
    for reason in rows[0]["drop_reasons"]:
        for line in _reason(known, reason, signals):
            yield "", line
    if rows[0]["kept"]:
        for row in known.rows("corpus", CORPUS, here, pattern=f"{rows[0]['split']}/*.parquet"):
            made = f"; made of SHA-256 {row['parent_sha256'].hex()}" if row["parent_sha256"] else ""
            yield "corpus", f"{row['length_bytes']} bytes, SHA-256 {row['text_sha256'].hex()}{made}"
        yield from _tokens(known, signals["document_id"], rows[0]["split"])


def _reason(known: _Records, reason: str, signals: Row) -> Iterator[str]:
    """A reason with every signal that it looked at and the thresholds at the time."""
    if reason in (DUPLICATE, NORMALISED_DUPLICATE, NEAR_DUPLICATE):
        yield f"{reason}: {_duplicate(known, reason, signals)}"
        return
    by_name = {rule.name: rule for rule in rules(known.config.corpus)}
    rule = by_name.get(reason.removesuffix("_unmeasured"))
    measured = [f"{name} {_shown(signals.get(name))}" for name in (rule.signals if rule else ())]
    settings = open_artifact(known.layout.asset("corpus"), verify=False).metadata["settings"].get(reason, {})
    limits = [f"{name} = {_shown(value)}" for name, value in settings.items()]
    yield f"{reason}: {', '.join(measured)}" + (f"; [corpus] {', '.join(limits)}" if limits else "")
    if reason == "contaminated":
        yield from _hits(known, signals)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    return f"{value:.4g}" if isinstance(value, float) else "not measured" if value is None else str(value)


def _hits(known: _Records, signals: Row) -> Iterator[str]:
    hits = known.rows(
        "contamination", CONTAMINATION_HITS, pl.col("document_id") == signals["document_id"], signals["sha1_git"],
        pattern="hits/*.parquet",
    )  # fmt: skip
    for hit in hits:
        place = f"bytes {hit['start']} to {hit['end']}"
        yield f"  {hit['benchmark']} {hit['task_id']} {hit['kind']}, rule {hit['rule']}, {place}"


def _duplicate(known: _Records, reason: str, signals: Row) -> str:
    """Which kept document stands for this one, and how similar the two are."""
    if reason == NEAR_DUPLICATE:
        (own,) = known.rows("near_dup", NEAR_DUP, pl.col("document_id") == signals["document_id"])
        others = known.rows("near_dup", NEAR_DUP, pl.col("cluster_id") == own["cluster_id"])
    else:
        others = known.everywhere("exact_dup", EXACT_DUP, pl.col(_DIGESTS[reason]) == signals[_DIGESTS[reason]])
    ids = pl.Series([row["document_id"] for row in others]).implode()
    kept = known.rows(
        "corpus", DECISIONS, pl.col("document_id").is_in(ids) & pl.col("kept"), pattern="decisions/*.parquet"
    )
    if not kept:
        return f"one of {len(others)}, of which none is kept any more"
    told = f"of swh:1:cnt:{kept[0]['sha1_git'].hex()} {kept[0]['origin_url']} {kept[0]['path']} ({len(others)} alike)"
    if reason != NEAR_DUPLICATE:
        return told
    return f"{told}, Jaccard {jaccard(known.text(signals), known.text(kept[0]), params=known.config.near_dup):.3f}"


def jaccard(one: str, other: str, *, params: NearDup) -> float:
    """Exact Jaccard index of two texts' shingles, 0..1, as near_dup compares them."""
    texts = comparable_texts(pl.Series([one, other]), params)
    sets = shingle_sets(texts, shingle_words=params.shingle_words, tokens=params.tokens)
    return float(exact_jaccard(sets, np.array([0]), np.array([1]))[0])


def _tokens(known: _Records, identifier: str, split: str) -> Iterator[Line]:
    """Where the tokens of a kept document lie."""
    folder = known.layout.asset("token_shards")
    try:
        packed = open_split(folder, split, verify=False)
    except MinicodeError as error:
        yield "tokens", f"none yet: {error.what}"
        return
    rows = known.rows(
        "token_shards", TOKEN_DOCUMENTS, pl.col("document_id") == identifier, pattern=f"{split}/{DOCUMENTS_FILE}"
    )
    if not rows:
        yield "tokens", "none: the shards were made of another corpus"
    for row in rows:
        name, start = packed.place(row["document"])
        first = start + row["token_start"]
        sequences = packed.sequences_of(row["document"])
        yield "tokens", f"{split}/{name}, tokens {first} to {first + row['num_tokens']}, in {_numbers(sequences)}"


def _numbers(sequences: Sequence[int]) -> str:
    shown = ", ".join(map(str, sequences[:8]))
    return f"sequence{'s' if len(sequences) > 1 else ''} {shown}" + (", ..." if len(sequences) > 8 else "")
