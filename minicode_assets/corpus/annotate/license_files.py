"""The license_files sidecar: what licence each licence file and package metadata file states."""

import re
from pathlib import Path

import polars as pl

from minicode_assets.blobs.store import in_partition
from minicode_assets.config import LicenseFiles
from minicode_assets.corpus.annotate.license_texts import recognise
from minicode_assets.corpus.annotate.package_metadata import declared_license, is_package_metadata
from minicode_assets.corpus.annotate.spdx import canonical, conjunction
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import BLOBS, CONTENTS, LICENSE_FILES
from minicode_model.artifact import Artifact, open_artifact

TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\s*/#<\"'][^\n*#<\"']*)")
"""Source: SPDX specification, annex on short-form identifiers."""


def detect_partition(
    blobs: Path, contents: Path, folder: Path, *, partition: str, params: LicenseFiles, config_digest: str
) -> Artifact:
    """After this, `folder` holds one row for each verified licence-like content of the partition.

    Args:
        blobs: The license_blobs artefact of the same partition.
        contents: The contents artefact, which says which contents are licence files by name.
        folder: The artefact folder of this partition.
        partition: A key such as `00-of-04`.
        params: The `license_files` section.
        config_digest: Digest of the sections that shape the asset.

    Returns:
        The artefact; schema LICENSE_FILES, rows sorted by sha1_git. Metadata: partition, num_recognised, and
        num_by_rule.

    Raises:
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
    rows = [(sha1_git, *detect(content, params=params)) for sha1_git, content in texts.iter_rows()]
    frame = pl.DataFrame(rows, schema=LICENSE_FILES.polars, orient="row")
    metadata = {"partition": partition, **_figures(frame)}
    return write_table(folder, frame, LICENSE_FILES, config_digest=config_digest, inputs=inputs, metadata=metadata)


def detect(content: bytes, *, params: LicenseFiles) -> tuple[str | None, str | None, float | None]:
    """(SPDX expression, rule, score) of a licence-like file; three nulls when nothing is recognised.

    Rules: `expression` (License-Expression field), `metadata` (License field or classifiers), `text`, `tag`.
    """
    text = content.decode("utf-8", errors="replace").removeprefix("\ufeff")
    if is_package_metadata(text):
        declared = declared_license(text, min_score_fraction=params.min_score_fraction)
        return (declared.expression, declared.rule, declared.score) if declared else (None, None, None)
    matches = recognise(text, min_score_fraction=params.min_score_fraction)
    if matches:
        return conjunction([match.spdx for match in matches]), "text", min(match.score for match in matches)
    tags = {expression for tag in TAG.findall(text) if (expression := canonical(tag.strip()))}
    return (conjunction(tags), "tag", 1.0) if tags else (None, None, None)


def _figures(frame: pl.DataFrame) -> dict[str, object]:
    by_rule = dict(frame["rule"].drop_nulls().value_counts().iter_rows())
    return {
        "num_recognised": frame["expression"].drop_nulls().len(),
        "num_by_rule": dict(sorted(by_rule.items())),
    }
