"""The search_index artefact: is this text in the corpus, whole, nearly, or a passage of it, and where is it from?

One sorted table of hashes a corpus file: the digest finds equal files, the bands of the MinHash signature similar ones,
fingerprints passages. What they find is proven on the texts themselves, so the index needs none and keeps none.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from minicode_assets.config import NearDup, SearchIndex
from minicode_assets.corpus.annotate.exact_dup import digest_texts
from minicode_assets.corpus.annotate.minhash import comparable_texts
from minicode_assets.corpus.minhash import band_keys, exact_jaccard, shingle_sets, sketch
from minicode_assets.corpus.select import SPLITS
from minicode_assets.corpus.shingles import Hashes, Numbers
from minicode_assets.errors import CorpusError, CorruptArtifactError, MissingArtifactError
from minicode_assets.parquet import scan_table
from minicode_assets.provenance.fingerprint import fingerprint
from minicode_assets.schemas import CORPUS
from minicode_model.artifact import Artifact, open_artifact, rebuild_hint, write_artifact

_KEYS, _ROWS = "keys.npy", "rows.npy"
_VERSION = 1
"""Raise when code changes a hash: what a former artefact has is made anew then."""
_TEXTS_A_STEP = 512


@dataclass(frozen=True)
class Match:
    """A document of the corpus that has something in common with a text.

    Attributes:
        document_id: Key of the corpus.
        swhid: Qualified SWHID.
        license_expression: SPDX expression; None without.
        split: train or validation.
        jaccard: Exact, of the shingles of both, as near_dup compares them, 0..1.
        contained: Share of the text's shingles that the document has, 0..1.
        identical: The texts are equal.
    """

    document_id: str
    swhid: str
    license_expression: str | None
    split: str
    jaccard: float
    contained: float
    identical: bool


def build_index(corpus: Path, folder: Path, *, params: SearchIndex, near_dup: NearDup, config_digest: str) -> Artifact:
    """After this, `folder` answers which documents of the corpus resemble a text or have a passage of it.

    Of corpus files that the former artefact indexed by the same configuration, its hashes are taken over.

    Args:
        corpus: The corpus artefact.
        folder: The artefact folder.
        params: The `search_index` section.
        near_dup: The `near_dup` section: shingles and signatures.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact: `<split>/<part>/keys.npy` (uint64, sorted) and `rows.npy` (int32, the corpus file's row of each).
        Metadata: num_rows (documents), num_keys, num_reused (corpus files), corpus (digest of the corpus that it
        indexes), files (SHA-256 of each corpus file), version.

    Raises:
        MissingArtifactError, CorruptArtifactError: The corpus is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    indexed = open_artifact(corpus)
    digests = {file.path: file.sha256 for file in indexed.files}
    known, files = _known(folder, config_digest), {}
    inputs = {"corpus": indexed.digest}
    figures = {"num_rows": 0, "num_keys": 0, "num_reused": 0}
    with write_artifact(folder, name="search_index", config_digest=config_digest, inputs=inputs) as writer:
        for split, part in _parts(corpus):
            name, place = f"{split}/{part.name}", writer.path / split / part.stem
            files[name] = digests[name]
            if known.get(name) == digests[name]:
                shutil.copytree(folder / split / part.stem, place)
                figures["num_reused"] += 1
            else:
                _write_part(part, place, params, near_dup)
            figures["num_rows"] += pl.scan_parquet(part, glob=False).select(pl.len()).collect().item()
            figures["num_keys"] += len(np.load(place / _KEYS, mmap_mode="r"))
        writer.metadata = {**figures, "corpus": indexed.digest, "files": files, "version": _VERSION}
    return open_artifact(folder, verify=False)


def _known(folder: Path, config_digest: str) -> dict[str, str]:
    """SHA-256 of each corpus file whose hashes the former artefact has; none unless it is whole and made alike."""
    try:
        former = open_artifact(folder)
    except (MissingArtifactError, CorruptArtifactError):
        return {}
    alike = former.config_digest == config_digest and former.metadata.get("version") == _VERSION
    return dict(former.metadata["files"]) if alike else {}


def _write_part(part: Path, place: Path, params: SearchIndex, near_dup: NearDup) -> None:
    """The sorted hashes of one corpus file, in a folder of its own."""
    keys, rows = _hashes(pl.read_parquet(part, columns=["text"], glob=False)["text"], params, near_dup)
    place.mkdir(parents=True)
    np.save(place / _KEYS, keys)
    np.save(place / _ROWS, rows.astype(np.int32))


def search(text: str, corpus: Path, index: Path, *, params: SearchIndex, near_dup: NearDup) -> list[Match]:
    """The documents of the corpus that equal a text, resemble it or hold a good part of it; the most similar first.

    Args:
        text: Any text.
        corpus: The corpus artefact.
        index: The search_index artefact of that corpus.
        params: The `search_index` section.
        near_dup: The `near_dup` section that the index was made with.

    Raises:
        CorpusError: The index is another corpus's.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
    """
    if open_artifact(index, verify=False).metadata["corpus"] != open_artifact(corpus, verify=False).digest:
        raise CorpusError(f"{index}: made of another corpus than {corpus}", hint=rebuild_hint("search_index"))
    keys, _ = _hashes(pl.Series([text]), params, near_dup)
    found: list[Match] = []
    for split, part in _parts(corpus):
        place = index / split / part.stem
        rows = _rows_with(np.load(place / _KEYS, mmap_mode="r"), np.load(place / _ROWS, mmap_mode="r"), keys)
        found += _proven(text, split, part, rows, params, near_dup)
    return sorted(found, key=lambda match: (-match.identical, -match.jaccard, -match.contained, match.document_id))


def _parts(corpus: Path) -> Iterator[tuple[str, Path]]:
    for split in SPLITS:
        scan_table(corpus, CORPUS, pattern=f"{split}/*.parquet", verify=False)
        yield from ((split, path) for path in sorted((corpus / split).glob("*.parquet")))


def _hashes(texts: pl.Series, params: SearchIndex, near_dup: NearDup) -> tuple[Hashes, Numbers]:
    """Digest, band keys and fingerprints of texts, sorted, and the text that each belongs to."""
    compared = comparable_texts(texts, near_dup)
    signatures, num_words = sketch(
        compared,
        shingle_words=near_dup.shingle_words,
        tokens=near_dup.tokens,
        num_permutations=near_dup.num_permutations,
        seed=near_dup.seed,
    )
    signed = np.flatnonzero(num_words >= near_dup.shingle_words)
    bands = band_keys(signatures[signed], num_bands=near_dup.num_bands, rows_per_band=near_dup.rows_per_band)
    bands ^= np.arange(1, near_dup.num_bands + 1, dtype=np.uint64)[:, None]
    prints, numbers = fingerprint(compared, ngram_words=near_dup.shingle_words, window=params.window)
    # Texts with fewer words than a shingle have neither; equal ones are found all the same.
    whole = np.array([int.from_bytes(digest[:8]) for digest in digest_texts(texts)], dtype=np.uint64)
    keys = np.concatenate([whole, bands.ravel(), prints])
    rows = np.concatenate([np.arange(texts.len()), np.tile(signed, near_dup.num_bands), numbers])
    order = np.lexsort((rows, keys))
    return keys[order], rows[order]


def _rows_with(keys: Hashes, rows: npt.NDArray[np.int32], wanted: Hashes) -> list[int]:
    """Rows that have any of the wanted hashes, those with most of them first."""
    wanted = np.unique(wanted)
    starts, ends = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted, side="right")
    hits = [rows[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True) if start < end]
    if not hits:
        return []
    distinct, counts = np.unique(np.concatenate(hits), return_counts=True)
    return [int(row) for row in distinct[np.argsort(-counts, kind="stable")]]


def _proven(
    text: str, split: str, part: Path, rows: list[int], params: SearchIndex, near_dup: NearDup
) -> Iterator[Match]:
    """The rows whose texts are similar enough, or hold enough of the text."""
    rows = rows[: params.max_candidates]
    if not rows:
        return
    names = ["document_id", "swhid", "license_expression", "text"]
    frame = pl.read_parquet(part, columns=names, glob=False)[sorted(rows)]
    for chunk in frame.iter_slices(_TEXTS_A_STEP):
        jaccards, contained = _similarities(text, chunk["text"], near_dup)
        for row, jaccard, share in zip(chunk.iter_rows(named=True), jaccards, contained, strict=True):
            same = row.pop("text") == text
            if same or jaccard >= params.min_jaccard_fraction or share >= params.min_contained_fraction:
                yield Match(**row, split=split, jaccard=float(jaccard), contained=float(share), identical=same)


def _similarities(text: str, others: pl.Series, near_dup: NearDup) -> tuple[npt.NDArray[np.float64], ...]:
    """Exact Jaccard index with each other text, and the share of the text's shingles that each has."""
    compared = comparable_texts(pl.concat([pl.Series([text]), others.alias("")]), near_dup)
    sets = shingle_sets(compared, shingle_words=near_dup.shingle_words, tokens=near_dup.tokens)
    right = np.arange(1, len(compared))
    jaccards = exact_jaccard(sets, np.zeros_like(right), right)
    total = sets.sizes[0] + sets.sizes[right]
    common = np.rint(total * jaccards / (1 + jaccards))
    return jaccards, common / max(1, int(sets.sizes[0]))
