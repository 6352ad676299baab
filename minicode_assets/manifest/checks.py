"""What must hold of tables, heads and manifest before later stages trust them; each with the figures it judged by."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from minicode_assets.parquet import scan_table
from minicode_assets.schemas import BRANCH_HEADS, FILE_MANIFEST
from minicode_model.artifact import Artifact, open_artifact

Verdicts = dict[str, tuple[bool, dict[str, int | float]]]
"""Name of each check to (passed, figures)."""


def check_table(table: Artifact) -> Verdicts:
    """`within_declared_size`: a normalised table has no more rows than the footers of its source files declare.

    Directories that only their entries name make an exception: they are counted as tolerated.
    """
    found = int(table.metadata["num_rows"])
    declared = sum(table.metadata["source_rows"].values())
    added = int(table.metadata["tolerated"].get("directories_known_by_entries_only", 0))
    figures: dict[str, int | float] = {"rows": found, "declared": declared, "added": added}
    return {"within_declared_size": (found <= declared + added, figures)}


def check_heads(heads: Path) -> Verdicts:
    """`resolved_or_explained`: every origin has a head, or a reason why not, and there is an origin."""
    rows = scan_table(heads, BRANCH_HEADS, verify=False)
    unexplained = pl.col("directory").is_null() == pl.col("reason").is_null()
    figures = rows.select(origins=pl.col("origin_url").n_unique(), unexplained=unexplained.sum()).collect()
    origins, bad = figures.row(0)
    return {"resolved_or_explained": (origins > 0 and bad == 0, {"origins": origins, "unexplained": bad})}


def check_manifest(manifest: Path, heads: Path, *, max_missing_fraction: float) -> Verdicts:
    """Checks of a manifest, in the memory of one of its parts.

    `unique_key`: rows ascend strictly by origin_url, revision and path. `heads_walked`: every head has rows or a
    reason. `few_dangling`: files without a content row, and heads without a root directory, are few.

    Args:
        manifest: The artefact `file_manifest`.
        heads: The artefact `branch_heads` that it was made from.
        max_missing_fraction: Share of rows, and of heads, that may be missing, 0..1.
    """
    about = open_artifact(manifest, verify=False).metadata
    rows, out_of_order = _disorder(manifest)
    wanted = scan_table(heads, BRANCH_HEADS, verify=False).filter(pl.col("directory").is_not_null())
    num_wanted = wanted.select("origin_url", "revision").unique().select(pl.len()).collect().item()
    left_out = sum(about["heads_left_out"].values())
    lost = about["heads_left_out"].get("missing_root_directory", 0)
    missing = about["by_status"]["missing"]
    few = missing <= max_missing_fraction * rows and lost <= max_missing_fraction * num_wanted
    return {
        "unique_key": (rows > 0 and not out_of_order, {"rows": rows, "out_of_order": out_of_order}),
        "heads_walked": (
            about["num_heads"] + left_out == num_wanted,
            {"heads": num_wanted, "walked": about["num_heads"], "left_out": left_out},
        ),
        "few_dangling": (few, {"rows": rows, "missing": missing, "heads": num_wanted, "missing_roots": lost}),
    }


def _disorder(manifest: Path) -> tuple[int, int]:
    """(rows, rows that are not above the one before)."""
    key = list(FILE_MANIFEST.key)
    last = pl.DataFrame(schema={name: FILE_MANIFEST.polars[name] for name in key})
    num_rows = bad = 0
    for path in sorted(manifest.glob("*.parquet")):
        part = pl.read_parquet(path, columns=key, glob=False).select(key)
        rows = pl.concat([last, part])
        bad += int(rows.select(_not_above(key).sum()).item())
        num_rows, last = num_rows + part.height, rows.tail(1)
    return num_rows, bad


def _not_above(key: list[str]) -> pl.Expr:
    """Whether a row is not above the row before, by the key's columns in order; the first row is."""
    above = pl.lit(False)
    for name in reversed(key):
        column, before = pl.col(name), pl.col(name).shift(1)
        above = (column > before) | ((column == before) & above)
    return (~above).fill_null(False)


def failures(verdicts: Mapping[str, tuple[bool, Mapping[str, int | float]]]) -> list[str]:
    """Names of the checks that failed."""
    return [name for name, (passed, _) in verdicts.items() if not passed]
