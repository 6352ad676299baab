"""The license_files sidecar: what licence each licence file and package metadata file states."""

import re
from pathlib import Path

import polars as pl

from minicode_assets.blobs.store import in_partition
from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate import scancode
from minicode_assets.corpus.annotate.license_statements import SCORE as STATEMENT_SCORE
from minicode_assets.corpus.annotate.license_statements import forbidden_by, is_pointer, stated_license
from minicode_assets.corpus.annotate.license_texts import recognise
from minicode_assets.corpus.annotate.package_metadata import declared_license, is_package_metadata
from minicode_assets.corpus.annotate.spdx import canonical, conjunction, is_permissive
from minicode_assets.corpus.annotate.spdx_texts import copyright_lines, exact_match, significant_words, similarities
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import BLOBS, CONTENTS, LICENSE_FILES
from minicode_assets.sources.decode import decode
from minicode_model.artifact import Artifact, open_artifact

TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\s*/#<\"'][^\n*#<\"']{0,300})")
"""Source: SPDX specification, annex on short-form identifiers."""
POINTER = "LicenseRef-scancode-unknown-license-reference"
"""A licence file that names another one says nothing beside it; see [license] ignorable_beside_permissive."""
Found = tuple[str | None, str | None, float | None]
"""SPDX expression, rule, score 0..1."""


def detect_partition(
    blobs: Path,
    contents: Path,
    folder: Path,
    *,
    partition: str,
    params: LicenseFiles,
    config_digest: str,
    cache: Path | None = None,
) -> Artifact:
    """After this, `folder` holds one row for each verified licence-like content of the partition.

    Args:
        blobs: The license_blobs artefact of the same partition.
        contents: The contents artefact, which says which contents are licence files by name.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `license_files` section.
        config_digest: Digest of the sections that shape the asset.
        cache: Folder of ScanCode's answers; needed if `params.scancode` names it.

    Returns:
        The artefact; schema LICENSE_FILES, rows sorted by sha1_git. Metadata: partition, num_recognised,
        num_by_rule, and num_unanswered (files that ScanCode was given and could not read in time).

    Raises:
        CorpusError: ScanCode is configured and doesn't run, or is another version.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    inputs = {"license_blobs": open_artifact(blobs).digest, "contents": open_artifact(contents).digest}
    named = scan_table(contents, CONTENTS, verify=False).filter(
        pl.col("is_license") & in_partition("sha1_git", partition)
    )
    texts = (
        scan_table(blobs, BLOBS, verify=False)
        .filter(pl.col("status") == "verified")
        .join(named, on="sha1_git", how="semi")
        .select("sha1_git", "data")
        .sort("sha1_git")
        .collect()
    )
    found = {sha1_git: detect(content, params=params) for sha1_git, content in texts.iter_rows()}
    tail = {sha1_git: content for sha1_git, content in texts.iter_rows() if _is_tail(content, found[sha1_git])}
    answers = scancode.scan(tail, params=params, cache=cache) if params.scancode and cache else {}
    rows = [(sha1_git, *(answers.get(sha1_git) or found[sha1_git])) for sha1_git in found]
    frame = pl.DataFrame(rows, schema=LICENSE_FILES.polars, orient="row")
    unanswered = len(tail) - len(answers) if params.scancode else 0
    metadata = {"partition": partition, "num_unanswered": unanswered, **_figures(frame)}
    return write_table(folder, frame, LICENSE_FILES, config_digest=config_digest, inputs=inputs, metadata=metadata)


def _is_tail(content: bytes, found: Found) -> bool:
    """Whether nothing recognised a file that may still be a licence."""
    return found[0] is None and bool(content.strip()) and not is_package_metadata(_text(content))


def _text(content: bytes) -> str:
    return decode(content).text or content.decode("utf-8", errors="replace").removeprefix("\ufeff")


def detect(content: bytes, *, params: LicenseFiles) -> Found:
    """(SPDX expression, rule, score) of a licence-like file; three nulls when nothing is recognised.

    Rules, the first that applies: `expression` (License-Expression field), `metadata` (License field or classifiers);
    of other files `hash` (the words of one SPDX text), `text` (the words that make a licence, several may be there),
    `similar` (nearly an SPDX text), `tag`, `statement` (a sentence such as `Released under the MIT license`). To what a
    text gives, what its sentences forbid is added: `... except src/core, which is under the GPL`.
    """
    text = _text(content)
    if is_package_metadata(text):
        declared = declared_license(text, min_score_fraction=params.min_score_fraction)
        return (declared.expression, declared.rule, declared.score) if declared else (None, None, None)
    expression, rule, score = _recognised(text, params)
    if expression is None:
        stated = stated_license(text)
        stated = stated or (POINTER if is_pointer(text) else None)
        return (stated, "statement", STATEMENT_SCORE) if stated else (None, None, None)
    if not is_permissive(expression):
        return expression, rule, score
    limits = forbidden_by(text if rule != "hash" else copyright_lines(text))
    return conjunction([expression, *limits]), rule, score


def _recognised(text: str, params: LicenseFiles) -> Found:
    """The licence whose words or tag are in a text."""
    words = significant_words(text)
    if exact := exact_match(words):
        return exact.spdx, "hash", exact.score
    similar = similarities(words)
    nearest = max(similar, key=similar.__getitem__)
    matches = recognise(text, min_score_fraction=params.min_score_fraction)
    if matches and not _only_names_them([match.spdx for match in matches], similar, nearest, params):
        return conjunction([match.spdx for match in matches]), "text", min(match.score for match in matches)
    if similar[nearest] >= params.min_score_fraction:
        return nearest, "similar", similar[nearest]
    tags = {expression for tag in TAG.findall(text) if (expression := canonical(tag.strip()))}
    return (conjunction(tags), "tag", 1.0) if tags else (None, None, None)


def _only_names_them(matched: list[str], similar: dict[str, float], nearest: str, params: LicenseFiles) -> bool:
    """Whether a text is another licence, which names or quotes those whose words match.

    Relatives, such as BSD's, differ in less than similarity tells apart: the words that make them count, unless their
    text is far from this one.
    """
    own = max(similar.get(spdx, 0.0) for spdx in matched)
    return similar[nearest] >= params.min_score_fraction and similar[nearest] - own > params.min_lead_fraction


def _figures(frame: pl.DataFrame) -> dict[str, object]:
    by_rule = dict(frame["rule"].drop_nulls().value_counts().iter_rows())
    return {
        "num_recognised": frame["expression"].drop_nulls().len(),
        "num_by_rule": dict(sorted(by_rule.items())),
    }
