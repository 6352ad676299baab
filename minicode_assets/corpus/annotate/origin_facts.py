"""The origin_facts table: how recent each origin's head is and how many stars it has, to prefer one copy to another."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import polars as pl

from minicode_assets.config import OriginFacts
from minicode_assets.errors import ConfigError
from minicode_assets.parquet import read_table, scan_table, write_table
from minicode_assets.schemas import BRANCH_HEADS, ORIGIN_FACTS, REVISION
from minicode_model.artifact import Artifact, open_artifact

_READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".csv": partial(pl.read_csv, glob=False),
    ".parquet": partial(pl.read_parquet, glob=False),
    ".jsonl": lambda path: pl.read_ndjson(path.read_bytes()),
}


def build_origin_facts(
    branch_heads: Path, revisions: Path, folder: Path, *, params: OriginFacts, config_digest: str
) -> Artifact:
    """After this, `folder` holds one row a head: the date of its commit, and its origin's stars where known.

    Args:
        branch_heads: The branch_heads artefact.
        revisions: The swh_revision artefact.
        folder: The artefact folder.
        params: The `origin_facts` section.
        config_digest: Digest of the sections that shape the asset, and of the file with the stars.

    Returns:
        The artefact; schema ORIGIN_FACTS, sorted. Metadata: num_dated, num_with_stars.

    Raises:
        ConfigError: The file with the stars can't be read, or lacks a column.
        MissingArtifactError, CorruptArtifactError: An input is absent or differs from its manifest.
    """
    heads = scan_table(branch_heads, BRANCH_HEADS).filter(pl.col("revision").is_not_null())
    dated = scan_table(revisions, REVISION).select(revision="id", commit_date="committer_date")
    frame = (
        heads.select("origin_url", "revision")
        .unique()
        .join(dated, on="revision", how="left")
        .join(read_stars(params.stars_file).lazy(), on="origin_url", how="left")
        .sort(*ORIGIN_FACTS.order)
        .collect()
    )
    inputs = {"branch_heads": branch_heads, "swh_revision": revisions}
    return write_table(
        folder,
        frame,
        ORIGIN_FACTS,
        config_digest=config_digest,
        inputs={name: open_artifact(path, verify=False).digest for name, path in inputs.items()},
        metadata={"num_dated": frame["commit_date"].count(), "num_with_stars": frame["num_stars"].count()},
    )


def read_stars(file: str) -> pl.DataFrame:
    """origin_url and num_stars, one row an origin; empty without a file.

    Args:
        file: [origin_facts] stars_file.

    Raises:
        ConfigError: It can't be read, or lacks a column.
    """
    if not file:
        return pl.DataFrame(schema={"origin_url": pl.String, "num_stars": pl.Int64})
    path = Path(file)
    hint = "give a .csv, .jsonl or .parquet file with the columns origin_url and num_stars"
    if path.suffix not in _READERS or not path.is_file():
        raise ConfigError(f"[origin_facts] stars_file: {file}: found no such table", hint=hint)
    try:
        frame = _READERS[path.suffix](path).select("origin_url", pl.col("num_stars").cast(pl.Int64))
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"[origin_facts] stars_file: {file}: {error}", hint=hint) from error
    return frame.group_by("origin_url").agg(pl.col("num_stars").max())


def with_origin_facts(documents: pl.DataFrame, origin_facts: Path | None) -> pl.DataFrame:
    """Documents (origin_url, revision) with commit_date and num_stars, null where unknown; rows in order."""
    facts = read_table(origin_facts, ORIGIN_FACTS) if origin_facts else pl.DataFrame(schema=ORIGIN_FACTS.polars)
    return documents.join(facts, on=["origin_url", "revision"], how="left", maintain_order="left")
