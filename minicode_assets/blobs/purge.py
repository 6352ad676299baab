"""Opted-out bytes in what an earlier run left behind: partitions of another number, which no asset looks at again."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from minicode_assets.parquet import scan_table, write_parquet
from minicode_assets.schemas import BLOBS, FETCH_PLAN, QUARANTINE
from minicode_model.artifact import open_artifact, write_artifact


def purge_blobs(blobs: Path, plan: Path, *, keys: Sequence[str]) -> int:
    """After this, no blobs partition of another number holds a content that the plan leaves out as opted out.

    The other contents stay: a later run may reuse them without a request.

    Args:
        blobs: The folder of all partitions.
        plan: The fetch_plan artefact.
        keys: The partitions of this configuration; the runs that make them leave opted-out contents out themselves.

    Returns:
        How many partitions were rewritten.

    Raises:
        CorruptArtifactError: A partition differs from its manifest, so that it can't be told what is in it.
    """
    plan_rows = scan_table(plan, FETCH_PLAN, verify=False)
    opted_out = plan_rows.filter(pl.col("rule") == "opted_out").select("sha1_git").collect()
    others = [folder for folder in sorted(blobs.glob("*-of-*")) if folder.name not in keys] if opted_out.height else []
    return sum(_purge(folder, opted_out) for folder in others)


def _purge(folder: Path, opted_out: pl.DataFrame) -> bool:
    parts = sorted(folder.rglob("*.parquet"))
    found = pl.concat([pl.scan_parquet(part, glob=False).select("sha1_git") for part in parts])
    if not found.join(opted_out.lazy(), on="sha1_git", how="semi").head(1).collect().height:
        return False
    old = open_artifact(folder)
    with write_artifact(folder, name=old.name, config_digest=old.config_digest, inputs=old.inputs) as writer:
        writer.metadata = dict(old.metadata)
        for part in parts:
            path = writer.path / part.relative_to(folder)
            path.parent.mkdir(exist_ok=True)
            table = BLOBS if path.parent == writer.path else QUARANTINE
            write_parquet(pl.read_parquet(part, glob=False).join(opted_out, on="sha1_git", how="anti"), path, table)
    return True


def remove_other_partitions(folder: Path, *, keys: Sequence[str]) -> None:
    """After this, `folder` holds no partition of another number than this configuration's; those can be made again."""
    for other in folder.glob("*-of-*"):
        if other.name not in keys:
            shutil.rmtree(other)
