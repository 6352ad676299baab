"""The origin_licenses artefact: what an origin's licence files say of each folder, before any Python is fetched.

The verdict is the license sidecar's for a document without a tag of its own, whose text is not here yet.
"""

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from minicode_assets.config import License
from minicode_assets.corpus.annotate.license import Tree, assign_license, read_trees
from minicode_assets.manifest.paths import folder_of
from minicode_assets.parquet import scan_table, write_table
from minicode_assets.schemas import FILE_MANIFEST, ORIGIN_LICENSES
from minicode_assets.sources.swh import readable_path
from minicode_model.artifact import Artifact, open_artifact

_KEY = ["origin_url", "revision", "folder"]


def judge_origins(
    file_manifest: Path,
    license_files: Sequence[Path],
    folder: Path,
    *,
    params: License,
    config_digest: str,
    all_folders: bool = False,
) -> Artifact:
    """After this, `folder` holds the licence verdict of each folder that has Python files, or of each folder.

    Args:
        file_manifest: The manifest, which says where each licence file lies.
        license_files: All partitions of the license_files artefact.
        folder: The artefact folder.
        params: The `license` section.
        config_digest: Digest of the sections that shape the asset.
        all_folders: Folders with any file: where files other than Python are wanted.

    Returns:
        The artefact; schema ORIGIN_LICENSES. Metadata: num_by_type (folders), num_origins.

    Raises:
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
        StorageError: `folder` can't be written.
    """
    inputs = {"file_manifest": open_artifact(file_manifest).digest}
    inputs |= {f"license_files/{path.name}": open_artifact(path).digest for path in license_files}
    files = scan_table(file_manifest, FILE_MANIFEST, verify=False).filter(pl.lit(all_folders) | pl.col("is_python"))
    folders = files.select("origin_url", "revision", folder=folder_of()).unique().sort(_KEY).collect()
    trees = read_trees(file_manifest, license_files, folders["origin_url"].unique())
    assign = functools.cache(functools.partial(assign_license, params=params))
    rows: list[tuple[Any, ...]] = []
    for origin_url, revision, path in folders.iter_rows():
        tree = trees.get((origin_url, revision), Tree())
        verdict = assign(tuple(tree.folders.get("", ())), tuple(tree.above(readable_path(path))))
        rows.append((origin_url, revision, path, *verdict))
    frame = pl.DataFrame(rows, schema=ORIGIN_LICENSES.polars, orient="row")
    figures = {
        "num_by_type": dict(sorted(Counter(frame["license_type"]).items())),
        "num_origins": frame["origin_url"].n_unique(),
    }
    return write_table(folder, frame, ORIGIN_LICENSES, config_digest=config_digest, inputs=inputs, metadata=figures)
